// Waiting for all processes that a program has started, not only for itself: its children may still write when it has ended.
import { readdirSync, readFileSync } from 'node:fs';
import { until } from './until.ts';

const END_DEADLINE_MS = 10_000;

/** Kills what is left of a process group (that of a child spawned `detached`) and resolves when nothing of it runs. */
export async function endProcessGroup(group: number): Promise<void> {
  try {
    process.kill(-group, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  await groupIsGone(group, END_DEADLINE_MS);
}

/** Resolves when no process of the group runs. @throws Error after the deadline. */
export function groupIsGone(group: number, deadlineMs: number): Promise<void> {
  return until(() => !isRunning(group), `process group ${group} is gone`, deadlineMs);
}

/** Dead processes that nobody has waited for do not count: what they had open is closed. */
function isRunning(group: number): boolean {
  return readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The name of the program is in parentheses and may hold anything; state, parent and group follow it.
      const [state, , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(processGroup) === group && state !== 'Z' && state !== 'X';
    } catch {
      // It ended between the two looks.
      return false;
    }
  });
}
