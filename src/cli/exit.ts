// What the process's exit code means; the same for every command.

/** Exit codes: done, the input is at fault, the command was misused, a fault of ours (EX_SOFTWARE of sysexits.h). */
export const EXIT = { done: 0, input: 1, misuse: 2, internal: 70 } as const;
