// docs/messages.md: every error and log line that the code states, so that an operator can search it.
import { dirname } from 'node:path';
import type { FaultKind } from '../../../src/base/fault.ts';
import { fault } from '../../../src/base/fault.ts';
import { toStatus } from '../../../src/cri/call/status.ts';
import { sourcesBelow } from '../../../test/tidy/support/sources.ts';
import type { Message, Wrapper } from './messages.ts';
import { hasFixedWords, messagesOf, wrappedMessagesOf, wrappersOf } from './messages.ts';

const HEAD = `# Messages

Every error and log line that the code of troupe states, by folder. Search for the fixed words of a message, without ids and
numbers: \`<id>\` stands for a value. For \`create container 8c1f03aa: image sha256:… not found\` search \`not found\`.

- An **error** has a kind, which decides the gRPC code of the answer. An error of kind \`bug\` is answered with
  \`internal error\` and the request id; its text is in the log only.
- A **log line** has a level. Its fields (\`id\`, \`reason\`, \`fault\`, …) are not listed here.
- Not listed: texts of other programs (runc, conmon, CNI plugins, the kernel, registries), which stand at the end of a message
  as they came, and errors that a message carries on (\`<reason>\`).

What to do about the common ones is in [operations.md](operations.md). The page is drawn by \`node scripts/charts.ts --write\`.
`;

/** The page for the code of this checkout. */
export function messagesPage(): string {
  const rooms = Map.groupBy(allMessages(), ({ file }) => dirname(file).replace(/^src\//u, ''));
  const sections = [...rooms]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([room, messages]) =>
        `\n## ${room}\n\n| message | is | gRPC code | file |\n|---|---|---|---|\n${rows(messages)}\n`,
    );
  return HEAD + sections.join('');
}

function allMessages(): readonly Message[] {
  const sources = sourcesBelow('src');
  const wrappers = sources.flatMap(wrappersOf);
  const found: Message[] = [];
  const used = new Set<Wrapper>();
  for (const source of sources) {
    for (const [message, wrapper] of wrappedMessagesOf(source, wrappers)) {
      found.push(message);
      used.add(wrapper);
    }
  }
  // a wrapper's own text says less than those of its calls
  const bare = new Set([...used].map(({ file, message }) => `${file} ${message.text}`));
  for (const source of sources)
    for (const { message } of messagesOf(source))
      if (!bare.has(`${message.file} ${message.text}`)) found.push(message);
  return found.filter(({ text }) => hasFixedWords(text));
}

function rows(messages: readonly Message[]): string {
  const lines = messages.map((message) => {
    const { text, kinds, isLog, file } = message;
    const is = isLog ? `log ${kinds.join(', ')}` : kinds.join(', ') || 'as its cause';
    return `| \`${cell(text)}\` | ${is} | ${isLog ? '' : codesOf(kinds)} | ${file.replace(/^src\//u, '')} |`;
  });
  return [...new Set(lines)].toSorted().join('\n');
}

const cell = (text: string): string =>
  text.replaceAll(/\s+/gu, ' ').trim().replaceAll('|', '\\|').replaceAll('`', "'");

/** As gRPC writes them: `deadlineExceeded` is DeadlineExceeded. */
function codesOf(kinds: readonly string[]): string {
  const codes = kinds.map((kind) => toStatus(fault(kind as FaultKind, ''), '').code);
  return [...new Set(codes)].map((code) => code.replace(/^./u, (first) => first.toUpperCase())).join(', ');
}
