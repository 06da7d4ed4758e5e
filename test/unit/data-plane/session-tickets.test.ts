// Keys of session tickets: the same for all workers, another for each listener, others after a rotation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TicketRotation } from '../../../src/control-plane/ticket-rotation.ts';
import { SessionTickets } from '../../../src/data-plane/session-tickets.ts';
import type { PrimaryMessage } from '../../../src/worker-messages.ts';

test('workers have the same keys, and change them together', (context) => {
  const workers: SessionTickets[] = [];
  const rotation = new TicketRotation((message: PrimaryMessage) => {
    if (message.type !== 'tickets') return;
    for (const worker of workers) worker.change(message.secret);
  });
  context.after(() => rotation.stop());
  workers.push(new SessionTickets(rotation.secret), new SessionTickets(rotation.secret));
  const [one, other] = workers;
  const before = one!.keysOf('web');
  assert.equal(before.length, 48);
  assert.deepEqual(other!.keysOf('web'), before);
  assert.notDeepEqual(one!.keysOf('admin'), before);
  let changes = 0;
  one!.onChange(() => changes++);
  rotation.rotate();
  assert.equal(changes, 1);
  assert.notDeepEqual(one!.keysOf('web'), before);
  assert.deepEqual(one!.keysOf('web'), other!.keysOf('web'));
  assert.deepEqual(new SessionTickets(rotation.secret).keysOf('web'), one!.keysOf('web'));
});
