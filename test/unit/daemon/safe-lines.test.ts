/** What the daemon's log may hold. */
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { safeLines } from '../../../src/daemon/safe-lines.ts';

function logged(fields: object, message: string): string {
  let text = '';
  pino({ base: null }, safeLines({ write: (line) => (text += line) })).info(fields, message);
  return text;
}

it('S93 a log line has no character that controls a terminal or reverses text, and stays JSON', () => {
  const evil = 'a\u009b2J\u001b[2J\u202e\u2066\u2028\u0085\u007f';
  const line = logged({ evil, [evil]: [evil] }, evil);
  expect(line).toMatch(/^[ -~]+\n$/u);
  expect(JSON.parse(line)).toMatchObject({ evil, [evil]: [evil], msg: evil });
});

it('S92 a log line has no credentials of URLs, whoever logs them', () => {
  const line = logged(
    { url: 'https://u:canary@h/', deep: { error: new Error('at https://h/x?sig=canary') } },
    'from http://canary@proxy:1 "u:canary@h"',
  );
  expect(line).not.toContain('canary');
  expect(JSON.parse(line)).toMatchObject({ url: 'https://***@h/', msg: 'from http://***@proxy:1 "***@h"' });
});
