import { startWeb } from '../../introspection/web-server.ts';
import type { WebServer } from '../../introspection/web-server.ts';
import { accessToken } from '../../introspection/web-token.ts';
import type { IntrospectionOptions } from '../../introspection/service.ts';
import type { Config } from '../config/config-schema.ts';
import type { Assembly } from './assemble.ts';
import { tokenFile } from './metrics.ts';

/** The page and the metrics, if configured. The log has the path of the token, not the token. */
export async function servePage(
  config: Config,
  { ports, observability }: Assembly,
  introspection: IntrospectionOptions,
  configView: () => Config,
): Promise<WebServer | undefined> {
  const { http_address: address } = config.introspection;
  if (address === '') return undefined;
  const { random, log } = ports;
  const file = tokenFile(config);
  const token = await accessToken(file, random, process.getuid?.() ?? 0);
  const metrics = (): Promise<string> => observability.metrics.text();
  const metricsAreOpen = (): boolean => configView().introspection.metrics === 'open';
  const web = await startWeb({ address, token, introspection, metrics, metricsAreOpen });
  log.info({ page: web.origin, tokenFile: file }, 'serving the introspection page');
  return web;
}
