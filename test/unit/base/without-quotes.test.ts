import { expect, it } from 'vitest';
import { withoutQuotes } from '../../../src/base/without-quotes.ts';

it('S91: words of programs end before what they quote; other texts stay', () => {
  const actors = [
    {
      name: 'a/b',
      fault: 'runc create: exec: "secret": no such file',
      waits: [{ on: 'unmount: /mnt/x', pid: 7 }],
    },
    { fault: 'pull: 401', waits: [{ on: 'runc', argv: ['/usr/sbin/runc', 'exec', '--user', 'secret'] }] },
  ];
  expect(JSON.parse(withoutQuotes(JSON.stringify({ actors })))).toEqual({
    actors: [
      { name: 'a/b', fault: 'runc create: exec: …', waits: [{ on: 'unmount: …', pid: 7 }] },
      { fault: 'pull: 401', waits: [{ on: 'runc', argv: ['/usr/sbin/runc', 'exec'] }] },
    ],
  });
});
