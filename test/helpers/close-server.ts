import { within } from './deadline.ts';

/** What net, http and http2 servers have in common here. */
interface Closable {
  close(callback: () => void): unknown;
}

/** Closes a server and waits until all its connections have ended, which is their other sides' business. */
export async function closeServer(server: Closable): Promise<void> {
  await within(
    'the end of a server’s connections',
    10_000,
    new Promise<void>((resolve) => {
      server.close(() => resolve());
    }),
  );
}
