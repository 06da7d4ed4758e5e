// The bodies that the admin API takes, and its answer to one that is wrong.
import { z } from 'zod';
import { InputError } from '../../errors.ts';
import { POLICY_NAMES } from '../../policies/index.ts';

export const policyBody = z.strictObject({ policy: z.enum(POLICY_NAMES) });

/** The longest evaluation that one call asks for. */
const EVALUATION_SECONDS_MAX = 300;

export const evaluationBody = z.strictObject({
  policy: z.enum(POLICY_NAMES),
  seconds: z.number().min(0.1).max(EVALUATION_SECONDS_MAX).default(10),
});

export const explainBody = z.strictObject({ sample: z.number().min(0).max(1) });

/** The query of /v1/explain. */
export const explainQuery = z.strictObject({ upstream: z.string().min(1) });

export const endpointBody = z.strictObject({
  weight: z.int().min(1).max(1000).optional(),
  state: z.enum(['active', 'draining', 'down']).optional(),
});

/** @param origin what it is, if not the body. @throws InputError with every problem of it. */
export function parseBody<Body>(schema: z.ZodType<Body>, body: unknown, origin = 'body'): Body {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  throw new InputError(
    origin,
    parsed.error.issues.map((issue) => ({
      path: issue.path.join('.'),
      line: 0,
      expected: expectedOf(issue),
      found: describe(valueAt(body, issue.path)),
    })),
  );
}

function expectedOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_value':
      return `one of ${issue.values.join(', ')}`;
    case 'unrecognized_keys':
      return `no key ${issue.keys.join(', ')}`;
    case 'too_small':
      return `at least ${issue.minimum}`;
    case 'too_big':
      return `at most ${issue.maximum}`;
    case 'invalid_type':
      return issue.expected === 'int' ? 'a whole number' : `a value of type ${issue.expected}`;
    default:
      return issue.message;
  }
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key];
  }
  return value;
}

function describe(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
