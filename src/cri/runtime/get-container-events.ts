import type { Troupe } from '../../actors/troupe.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { StreamRpcHandler } from '../call/edge.ts';
import type { EventFeed } from '../call/event-feed.ts';
import { podEvent } from '../present/event.ts';

/**
 * GetContainerEvents: sends every change from now on, until the client disconnects or the server stops. A client that
 * reads too slowly gets `exhausted`: it has lost events and has to list again (F86).
 */
export function getContainerEvents(
  { troupe }: { readonly troupe: Pick<Troupe, 'findImage'> },
  feed: EventFeed,
): StreamRpcHandler<typeof RuntimeService.method.getContainerEvents> {
  return async (_request, { signal }, write) => {
    const stream = feed.open();
    try {
      for (;;)
        for (const event of await stream.take(signal))
          await write(podEvent(event, (id) => troupe.findImage(id)));
    } finally {
      stream.close();
    }
  };
}
