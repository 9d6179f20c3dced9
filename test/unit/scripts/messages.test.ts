// docs/messages.md: what scripts/support/charts/messages.ts reads from code.
import { expect, it } from 'vitest';
import { messagesOf, wrappedMessagesOf, wrappersOf } from '../../../scripts/support/charts/messages.ts';
import type { Source } from '../../tidy/support/sources.ts';
import { parsedSource } from '../../tidy/support/sources.ts';

const parsed = (text: string): Source => parsedSource('src/room/file.ts', text);

const textsOf = (text: string): readonly string[] =>
  messagesOf(parsed(text)).map(({ message }) => `${message.kinds.join('/')}: ${message.text}`);

it('puts a name where the code puts a value', () => {
  expect(textsOf("fail('notFound', `stop container ${shown(view.id)}: not found`)")).toEqual([
    'notFound: stop container <id>: not found',
  ]);
});

it('reads the constant that a message begins with', () => {
  const text = 'function f(id) { const attempted = `stop ${id}`; return fault("bug", `${attempted}: no`); }';
  expect(textsOf(text)).toEqual(['bug: stop <id>: no']);
});

it('lists both arms of a condition, in the text and in the kind', () => {
  expect(textsOf("fail(late ? 'timedOut' : 'outside', late ? 'too late' : `failed: ${why}`)")).toEqual([
    'timedOut/outside: too late',
    'timedOut/outside: failed: <why>',
  ]);
});

it('lists log lines of the levels that an operator sees', () => {
  expect(
    textsOf("log.warn({ id }, 'drop it'); this.#log.debug({}, 'never'); console.warn({}, 'other')"),
  ).toEqual(['warn: drop it']);
});

it('lists the message of each call of a helper in place of the helper’s own text', () => {
  const source = parsed(`
    const refuse = (field, reason) => fail('invalidRequest', \`\${field}: \${reason}\`);
    if (a) refuse('user', 'is empty');
    if (b) refuse(name, other);
  `);
  const found = [...wrappedMessagesOf(source, wrappersOf(source)).keys()];
  expect(found.map(({ text }) => text)).toEqual(['user: is empty']);
});
