// The rate limits of a request as one script call to Redis or Valkey, so that several machines count together. The
// same arithmetic as leaky-bucket.ts and token-bucket.ts, on the server's clock, which is one for all machines; all
// limits are charged or none, since a script is one step. Pure: the text, its arguments and its answer.
import type { RateLimit } from './rate-limit.ts';

/**
 * KEYS: one a limit. ARGV, four a limit: `leaky` or `token`, the rate (requests per 1000 s), the highest level that
 * passes, a request's share of a level. Keeps a hash a key: `l` the level, `t` the server's time it is of.
 * Answers: the place of the limit that refused (0 = none), then each limit's level with this request.
 */
export const LIMIT_SCRIPT = `
local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local levels, times, refusing = {}, {}, 0
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  local leaky = ARGV[at + 1] == 'leaky'
  local rate, highest, request = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local now = leaky and math.floor(now_us / 1000) or now_us
  local kept = redis.call('HMGET', key, 'l', 't')
  local level, time = tonumber(kept[1]), tonumber(kept[2])
  if not level then
    level, time = leaky and 0 or request, now
  else
    local elapsed = now - time
    if elapsed > 0 then
      time = now
    elseif leaky and elapsed < -60000 then
      elapsed, time = 1, now
    else
      elapsed = 0
    end
    if leaky then
      level = math.max(0, level - math.floor(rate * elapsed / 1000) + request)
    else
      level = math.max(0, level - elapsed * rate) + request
    end
  end
  levels[i], times[i] = level, time
  if level > highest and refusing == 0 then refusing = i end
end
if refusing == 0 then
  for i, key in ipairs(KEYS) do
    local at = (i - 1) * 4
    local rate, request = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 4])
    redis.call('HSET', key, 'l', string.format('%.0f', levels[i]), 't', string.format('%.0f', times[i]))
    redis.call('PEXPIRE', key, string.format('%.0f', math.ceil((levels[i] / request + 1) * 1000000 / rate) + 1000))
  end
end
return { refusing, unpack(levels) }
`;

/** Longest client key that stands in a Redis key as it is. */
export const CLIENT_KEY_MAX = 128;

/** The Redis key of a client's key. A limit that counts otherwise has other keys. @param clientKey at most CLIENT_KEY_MAX long. */
export function redisKey(limit: RateLimit, clientKey: string): string {
  return `millrace:${limit.name}:${limit.config.algorithm}:${clientKey}`;
}

/** A limit's part of ARGV. */
export function scriptArguments(limit: RateLimit): readonly string[] {
  const algorithm = limit.config.algorithm === 'leaky-bucket' ? 'leaky' : 'token';
  return [
    algorithm,
    String(limit.config.ratePer1000s),
    String(limit.levelMax),
    String(limit.request),
  ];
}

/**
 * Takes the script's answer over into the limits' verdicts.
 * @param limits those that were asked about, in order.
 * @returns the limit that refused, or null. undefined: this is not the script's answer.
 */
export function takeAnswer(
  limits: readonly RateLimit[],
  answer: unknown,
): RateLimit | null | undefined {
  if (!Array.isArray(answer) || answer.length !== limits.length + 1) return undefined;
  const numbers = answer.map(Number);
  if (!numbers.every((number) => Number.isFinite(number))) return undefined;
  for (const [index, limit] of limits.entries()) limit.takeLevel(numbers[index + 1]!);
  const refusing = numbers[0]!;
  return refusing === 0 ? null : limits[refusing - 1];
}
