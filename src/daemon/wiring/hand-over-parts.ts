/** The parts of a daemon that its hand-over stops, gives or keeps. */
import type { CallSwitch } from '../../cri/call/call-switch.ts';
import type { EventFeed } from '../../cri/call/event-feed.ts';
import type { CriServer } from '../../cri/call/server.ts';
import type { Config } from '../config/config-schema.ts';
import type { Starter } from '../takeover/starter.ts';
import type { Assembly } from './assemble.ts';
import type { HeldSocket } from './held-socket.ts';
import type { DaemonLife } from './life.ts';
import type { ListeningSockets } from './listening-sockets.ts';
import type { Streams } from './streaming.ts';

export interface HandOverParts {
  readonly config: Config;
  readonly assembly: Assembly;
  readonly server: CriServer;
  readonly calls: CallSwitch;
  readonly events: EventFeed;
  readonly streaming: Streams;
  readonly cri: HeldSocket;
  readonly introspection: HeldSocket;
  readonly listening: ListeningSockets;
  readonly life: DaemonLife;
  /** Identity of the program at the start. */
  readonly program: string;
  /** Starts the next daemon under systemd. */
  readonly starter: Starter | undefined;
  /** The process that has handed over to this one. */
  readonly former: number | undefined;
  /** Closes what the other daemon binds anew: page, metrics, plugins. */
  readonly closeRest: () => Promise<void>;
  /** Ends the connections of the introspection socket. */
  readonly endViews: () => Promise<void>;
}
