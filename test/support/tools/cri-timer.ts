import { join } from 'node:path';
import { checkout } from './cache.ts';
import { buildOwnGo } from './go.ts';

/** Path of our own client in Go: see test/support/go/cri-timer. */
export const criTimer = async (): Promise<string> =>
  await buildOwnGo({
    name: 'cri-timer',
    sources: join(checkout, 'test/support/go/cri-timer'),
    // the versions that crictl itself is built with
    requires: { 'google.golang.org/grpc': 'v1.80.0', 'k8s.io/cri-api': 'v0.36.0' },
  });
