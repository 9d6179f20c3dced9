// The images that rows pull, beside `test/busybox:1`: each has what some field of an image's config is about.
import { busyboxLayer, userEntries } from '../../scripts/support/busybox-image.ts';
import { type Image, imageOf, layerOf } from '../../scripts/support/image.ts';
import { staticBusybox } from '../support/tools/debian.ts';

/** Nobody has such a directory: a link that leads there from an image must not make it on the host. */
export const OUTSIDE = '/cri-conformance-outside';

/** By `repository:tag`. */
export function conformanceImages(): ReadonlyMap<string, Image> {
  const base = busyboxLayer(staticBusybox());
  const small = (word: string): Image =>
    imageOf({ Cmd: ['sh'] }, [base, layerOf([{ type: 'file', path: 'which', mode: 0o644, content: word }])]);
  const users = userEntries({
    passwd: ['app:x:1000:1000::/home/app:/bin/sh'],
    group: ['app:x:1000:', 'extra:x:5000:app', 'more:x:5001:app'],
  });
  const twin = small('twin');
  const full = imageOf(
    {
      User: 'app',
      Env: ['PATH=/bin', 'FROM_IMAGE=yes', 'SHARED=image'],
      Entrypoint: ['sh', '-c', 'echo entry "$@"', 'sh'],
      Cmd: ['cmd'],
      WorkingDir: '/srv/work',
      StopSignal: 'SIGUSR1',
      Labels: { purpose: 'conformance' },
    },
    [base, layerOf(users)],
  );
  const links = layerOf([
    { type: 'symlink', path: 'jump', target: `../../../../../../..${OUTSIDE}` },
    { type: 'symlink', path: 'absolute', target: OUTSIDE },
    { type: 'directory', path: 'content', mode: 0o755 },
    { type: 'file', path: 'content/file', mode: 0o644, content: 'in the image' },
    { type: 'file', path: 'content/run', mode: 0o755, content: '#!/bin/sh\necho ran\n' },
    { type: 'symlink', path: 'content/out', target: '../../../../../../../etc' },
  ]);
  return new Map([
    ['conf/full:1', full],
    ['conf/twin:a', twin],
    ['conf/twin:b', twin],
    ['conf/elsewhere:a', twin],
    ['conf/gone:1', small('gone')],
    ['conf/gone:2', small('gone')],
    ['conf/again:1', small('again')],
    ['conf/used:1', small('used')],
    ['conf/race:1', small('race')],
    ['conf/cancel:1', small('cancel')],
    ['conf/root:1', imageOf({ Cmd: ['sh'], User: '0:0' }, [base])],
    ['conf/uid:1', imageOf({ Cmd: ['sh'], User: '1234:5678' }, [base])],
    ['conf/nobody:1', imageOf({ Cmd: ['sh'], User: 'no-such-user' }, [base])],
    ['conf/bare:1', imageOf({}, [base])],
    ['conf/users:1', imageOf({ Cmd: ['sh'] }, [base, layerOf(users)])],
    ['conf/links:1', imageOf({ Cmd: ['sh'] }, [base, links])],
    ['conf/linkdir:1', imageOf({ Cmd: ['sh'], WorkingDir: '/jump/work' }, [base, links])],
  ]);
}
