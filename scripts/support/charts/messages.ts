// Reads the errors and log lines of one room from its code, for docs/messages.md.
import type { Node, Source } from '../../../test/tidy/support/sources.ts';
import { dotted, walk } from '../../../test/tidy/support/sources.ts';

export interface Message {
  /** Fixed words, with `<name>` where the code puts a value. */
  readonly text: string;
  /** Kinds of fault, or the level of the log line. */
  readonly kinds: readonly string[];
  readonly isLog: boolean;
  readonly file: string;
}

/** A function that ends in `fail` with one of its own parameters in the message: each call of it is a message. */
export interface Wrapper {
  readonly name: string;
  readonly file: string;
  readonly isExported: boolean;
  readonly message: Message;
  /** `<name>` in the message → position of the parameter. */
  readonly positions: ReadonlyMap<string, number>;
}

const FAULTS: ReadonlySet<string> = new Set(['fail', 'fault', 'restated']);
const LEVELS: ReadonlySet<string> = new Set(['error', 'warn', 'info']);
const FUNCTIONS: ReadonlySet<string> = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
]);

const childrenOf = (node: Node, key: string): readonly Node[] => (node[key] ?? []) as readonly Node[];
const childOf = (node: Node, key: string): Node | undefined => (node[key] as Node | null) ?? undefined;

/** Every error and log line that the file states itself. */
export function messagesOf(source: Source): readonly { message: Message; around: readonly Node[] }[] {
  const found: { message: Message; around: readonly Node[] }[] = [];
  walk(source.program, (node, around) => {
    if (node.type !== 'CallExpression') return;
    const [first, second, third] = childrenOf(node, 'arguments');
    if (first === undefined || second === undefined) return;
    const callee = calleeOf(node);
    // a log line at most once for each reason: Refusals of src/journal
    if (callee.endsWith('.note') && third !== undefined && LEVELS.has(String(first['value']))) {
      for (const text of textsOf(third, around))
        found.push({
          message: { text, kinds: [String(first['value'])], isLog: true, file: source.file },
          around: around.slice(),
        });
      return;
    }
    const level = levelOf(callee);
    if (level === undefined && !FAULTS.has(callee)) return;
    const kinds = level === undefined ? literalsOf(first) : [level];
    for (const text of textsOf(second, around))
      found.push({
        message: { text, kinds, isLog: level !== undefined, file: source.file },
        around: around.slice(),
      });
  });
  return found;
}

/** What builds any fault of its parameters is no message. */
const PLUMBING = 'src/base/fault.ts';

/** Those among the messages that hold a parameter of the function around them. */
export function wrappersOf(source: Source): readonly Wrapper[] {
  if (source.file === PLUMBING) return [];
  return messagesOf(source).flatMap(({ message, around }) => {
    const at = around.findLastIndex((node) => FUNCTIONS.has(node.type));
    const made = around[at];
    const name = nameOf(around[at - 1], made);
    if (made === undefined || name === '') return [];
    const positions = new Map<string, number>();
    childrenOf(made, 'params').forEach((parameter, position) => {
      const placeholder = `<${shownName(parameter)}>`;
      if (message.text.includes(placeholder)) positions.set(placeholder, position);
    });
    const isExported = around[at - 1]?.type === 'ExportNamedDeclaration';
    return positions.size === 0 ? [] : [{ name, file: source.file, isExported, message, positions }];
  });
}

/** The messages that calls of the wrappers make: the wrapper's text with the words of each call in it. */
export function wrappedMessagesOf(
  source: Source,
  wrappers: readonly Wrapper[],
): ReadonlyMap<Message, Wrapper> {
  const imported = new Set(source.imports.flatMap(({ names }) => names));
  const known = wrappers.filter(
    ({ name, file, isExported }) => file === source.file || (isExported && imported.has(name)),
  );
  const found = new Map<Message, Wrapper>();
  walk(source.program, (node, around) => {
    if (node.type !== 'CallExpression') return;
    const callee = calleeOf(node).replace(/^this\./u, '');
    for (const wrapper of known) {
      if (wrapper.name !== callee) continue;
      for (const text of filled(wrapper, childrenOf(node, 'arguments'), around))
        found.set({ ...wrapper.message, text, file: source.file }, wrapper);
    }
  });
  return found;
}

/** Empty where the call adds no words of its own. */
function filled(wrapper: Wrapper, given: readonly Node[], around: readonly Node[]): readonly string[] {
  let texts: readonly string[] = [wrapper.message.text];
  let hasWords = false;
  for (const [placeholder, position] of wrapper.positions) {
    const value = given[position];
    if (value === undefined) continue;
    const words = textsOf(value, around);
    hasWords ||= words.some((word) => hasFixedWords(word));
    texts = texts.flatMap((text) => words.map((word) => text.replaceAll(placeholder, word)));
  }
  return hasWords ? texts : [];
}

/** Whether anything but placeholders can be searched. */
export const hasFixedWords = (text: string): boolean => /[a-z]{2}/iu.test(text.replaceAll(/<[^>]*>/gu, ''));

/** The texts that an expression can be: both arms of a condition, names of values as `<name>`. */
function textsOf(node: Node, around: readonly Node[], depth = 0): readonly string[] {
  if (node.type === 'Literal') return [String(node['value'])];
  if (node.type === 'ConditionalExpression') {
    return ['consequent', 'alternate'].flatMap((arm) => textsOf(childOf(node, arm) ?? node, around, depth));
  }
  if (node.type === 'BinaryExpression' && node['operator'] === '+') {
    const sides = ['left', 'right'].map((side) => textsOf(childOf(node, side) ?? node, around, depth));
    return joined(sides);
  }
  if (node.type === 'TemplateLiteral') {
    const values = childrenOf(node, 'expressions').map((value) => textsOf(value, around, depth + 1));
    const words = childrenOf(node, 'quasis').map((one) => [cookedOf(one)]);
    return joined(words.flatMap((word, at) => [word, values[at] ?? ['']]));
  }
  const meant =
    node.type === 'Identifier' && depth < 3 ? definitionOf(String(node['name']), around) : undefined;
  return meant === undefined ? [`<${shownName(node)}>`] : textsOf(meant, around, depth + 1);
}

const joined = (parts: readonly (readonly string[])[]): readonly string[] =>
  parts.reduce<readonly string[]>(
    (texts, words) => texts.flatMap((text) => words.map((word) => text + word)),
    [''],
  );

/** The text that a constant of the functions around, or of the file, stands for. */
function definitionOf(name: string, around: readonly Node[]): Node | undefined {
  for (const scope of around.toReversed()) {
    if (!FUNCTIONS.has(scope.type) && scope.type !== 'BlockStatement' && scope.type !== 'Program') continue;
    if (childrenOf(scope, 'params').some((parameter) => shownName(parameter) === name)) return undefined;
    if (!Array.isArray(scope['body'])) continue;
    for (const statement of childrenOf(scope, 'body')) {
      if (statement.type !== 'VariableDeclaration' || statement['kind'] !== 'const') continue;
      const found = childrenOf(statement, 'declarations').find((one) => dotted(childOf(one, 'id')) === name);
      if (found === undefined) continue;
      const init = childOf(found, 'init');
      const isText = init?.type === 'TemplateLiteral' || typeof init?.['value'] === 'string';
      return isText ? init : undefined;
    }
  }
  return undefined;
}

/** A word for a value: the last name in the expression, without what only makes it safe to show. */
function shownName(node: Node): string {
  switch (node.type) {
    case 'Identifier':
    case 'PrivateIdentifier':
      return String(node['name']).replace(/^#/u, '');
    case 'MemberExpression': {
      const property = childOf(node, 'property');
      const isPlain = node['computed'] !== true && property !== undefined;
      const name = isPlain ? shownName(property) : '';
      if (isPlain && name !== 'message' && name !== 'length') return name;
      return shownName(childOf(node, 'object') ?? node);
    }
    case 'CallExpression': {
      const [first] = childrenOf(node, 'arguments');
      const callee = childOf(node, 'callee');
      if (dotted(callee) === 'JSON.stringify' && first !== undefined) return shownName(first);
      if (callee?.type === 'MemberExpression') return shownName(childOf(callee, 'object') ?? callee);
      return first === undefined ? shownName(callee ?? node) : shownName(first);
    }
    case 'TSNonNullExpression':
    case 'AwaitExpression':
    case 'ChainExpression':
      return shownName(childOf(node, 'expression') ?? childOf(node, 'argument') ?? { ...node, type: '' });
    case 'LogicalExpression':
    case 'BinaryExpression':
    case 'AssignmentPattern':
      return shownName(childOf(node, 'left') ?? { ...node, type: '' });
    default:
      return 'value';
  }
}

/** Every fixed text in an expression. */
function literalsOf(node: Node): readonly string[] {
  const texts: string[] = [];
  walk(node, (one) => {
    if (one.type === 'Literal' && typeof one['value'] === 'string') texts.push(one['value']);
    if (one.type === 'TemplateElement') texts.push(cookedOf(one));
  });
  return texts;
}

const cookedOf = (node: Node): string => (node['value'] as { cooked?: string }).cooked ?? '';

/** `this.fail` and `this.#fail` are the same to the page. */
function calleeOf(call: Node): string {
  const callee = childOf(call, 'callee');
  return dotted(callee).replaceAll('#', '');
}

function levelOf(callee: string): string | undefined {
  const [level = '', object = ''] = callee.split('.').toReversed();
  return LEVELS.has(level) && /log$/iu.test(object) ? level : undefined;
}

function nameOf(parent: Node | undefined, made: Node | undefined): string {
  if (made?.type === 'FunctionDeclaration') return shownName(childOf(made, 'id') ?? made);
  if (parent?.type === 'VariableDeclarator') return shownName(childOf(parent, 'id') ?? parent);
  if (parent?.type === 'MethodDefinition') return shownName(childOf(parent, 'key') ?? parent);
  return '';
}
