/** What the introspection shows of this daemon. */
import { hostLimits } from '../../host/bounds.ts';
import { within } from '../../host/clock/wait.ts';
import { DiskSpaces } from '../../host/files/disk-spaces.ts';
import { bootId } from '../../host/files/boot-id.ts';
import { troupeCharts } from '../../introspection/charts.ts';
import { FlightHistory } from '../../introspection/flight/history.ts';
import type { IntrospectionOptions } from '../../introspection/service.ts';
import type { WebServer } from '../../introspection/web-server.ts';
import type { Config } from '../config/config-schema.ts';
import type { Assembly } from './assemble.ts';
import { flightDirectory, pastFlight } from './flight-files.ts';
import { tokenFile } from './metrics.ts';
import { VERSION } from './version.ts';

export type ConfigViews = Pick<
  IntrospectionOptions,
  'configView' | 'configRefusal' | 'configWaiting' | 'configFiles' | 'formerDaemons'
> & {
  readonly configView: () => Config;
};

export function introspectionOptions(
  config: Config,
  { ports, troupe, recorder, lostFacts, observability }: Assembly,
  views: ConfigViews,
  web: () => WebServer | undefined,
): IntrospectionOptions {
  const { clock } = ports;
  return {
    troupe,
    recorder,
    flight: observability.flight,
    history: new FlightHistory({
      segments: pastFlight(flightDirectory(config.root)),
      clock,
      bootId: bootId(),
    }),
    clock,
    charts: troupeCharts,
    activity: troupe.activity,
    version: VERSION,
    process: { pid: process.pid, startedNs: clock.nowNs(), rssBytes: () => process.memoryUsage.rss() },
    socket: config.socket,
    ...views,
    lostFacts,
    changesDropped: (changes) => observability.metrics.outcomes.dropped('Watch', changes),
    conditions: observability.conditions,
    disks: diskFigures(config, clock),
    page: () => {
      const origin = web()?.origin;
      return origin === undefined ? undefined : { origin, tokenFile: tokenFile(config) };
    },
  };
}

/**
 * Of the disks of state, pods and images, a few seconds old at most: of one that does not answer the last ones. The
 * first reading starts now.
 */
function diskFigures(
  { state, root, storage }: Config,
  clock: Assembly['ports']['clock'],
): IntrospectionOptions['disks'] {
  const images = storage.image_store === '' ? root : storage.image_store;
  const disks = new DiskSpaces(
    [
      { path: root, holds: 'pods' },
      { path: images, holds: 'images' },
      { path: state, holds: 'state' },
    ],
    clock,
  );
  void disks.read();
  return async () => {
    await within({ clock, timeoutMs: hostLimits.diskAnswerMs }, disks.renew());
    return disks.figures();
  };
}
