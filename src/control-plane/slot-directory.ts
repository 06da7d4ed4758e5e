// The two directories of shared memory: endpoint slots by (upstream, address), upstream indices by name. What
// an index's words mean and how they are cleared is said here. Primary only; created by the balancer.
import { clearEndpointCounters, clearUpstreamCounters } from '../shared-state/counters.ts';
import { clearSlotHistogram, clearUpstreamHistogram } from '../shared-state/histograms.ts';
import { INELIGIBLE_MASK, SLOT_DRAINING, SLOT_FREE, SLOT_USED } from '../shared-state/layout.ts';
import { clearResponseTimes } from '../shared-state/response-times.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import {
  activeOf,
  readUpstreamLive,
  resetSlot,
  resetUpstream,
  setSlotState,
} from '../shared-state/slot-words.ts';
import { IndexDirectory } from './index-directory.ts';

const SLOT_STATES = { free: SLOT_FREE, used: SLOT_USED, draining: SLOT_DRAINING } as const;

/** Who an endpoint is over reloads: its upstream's name and its address' canonical text. */
export function endpointIdentity(upstream: string, addressText: string): string {
  return `${upstream}\0${addressText}`;
}

/** The way back from endpointIdentity(). */
export function partsOfIdentity(identity: string): {
  readonly upstream: string;
  readonly address: string;
} {
  const separator = identity.indexOf('\0');
  return { upstream: identity.slice(0, separator), address: identity.slice(separator + 1) };
}

/** Slots of endpoints, by endpointIdentity(). */
export function createSlotDirectory(state: SharedState): IndexDirectory {
  return new IndexDirectory({
    capacity: state.sizes.endpoints,
    isIdle: (slot) => activeOf(state, slot) === 0,
    give(slot) {
      resetSlot(state, slot);
      clearEndpointCounters(state, slot);
      clearSlotHistogram(state, slot);
      clearResponseTimes(state, slot);
    },
    mark: (slot, use) => setSlotState(state, slot, SLOT_STATES[use]),
  });
}

/** Indices of upstreams, by name. */
export function createUpstreamDirectory(state: SharedState): IndexDirectory {
  return new IndexDirectory({
    capacity: state.sizes.upstreams,
    isIdle(upstream) {
      const live = readUpstreamLive(state, upstream);
      return live.requests === 0 && live.retries === 0 && live.pending === 0;
    },
    give(upstream) {
      resetUpstream(state, upstream, INELIGIBLE_MASK);
      clearUpstreamCounters(state, upstream);
      clearUpstreamHistogram(state, upstream);
    },
    // An upstream has no state word: its index is known by the tables that name it.
    mark: () => undefined,
  });
}
