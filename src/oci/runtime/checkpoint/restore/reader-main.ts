/**
 * The process that reads archives. They are as large as a container's memory and made by anybody, and may lie on a file
 * system that does not answer: a process of its own can be killed, and what it needs is nobody else's memory.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { toFault } from '../../../../base/fault.ts';
import { describe } from './describe.ts';
import { importArchive } from './import.ts';
import type { Answer, Order } from './protocol.ts';

const STDIN = 0;
const STDOUT = 1;

async function answer(order: Order): Promise<Answer> {
  if (order.kind === 'describe') return { facts: await describe(order.place) };
  await importArchive(order);
  return { done: true };
}

const order = JSON.parse(readFileSync(STDIN, 'utf8')) as Order;
const said = await answer(order).catch((error: unknown): Answer => ({ fault: toFault(error) }));
writeFileSync(STDOUT, JSON.stringify(said));
