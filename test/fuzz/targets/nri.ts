/**
 * ttrpc and NRI: frames, the mux, messages of plugins and of shims, and what a plugin's adjustment makes of a
 * container's document.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { encodeTtrpcFrame, TtrpcParser } from '../../../src/ttrpc/frames.ts';
import { FaultError } from '../../../src/base/fault.ts';
import {
  ConfigureResponseSchema,
  CreateContainerResponseSchema,
  RegisterPluginRequestSchema,
  UpdateContainersRequestSchema,
} from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { RequestSchema, ResponseSchema } from '../../../src/gen/ttrpc/ttrpc_pb.ts';
import { decodeMessage } from '../../../src/ttrpc/protocol.ts';
import { Creation } from '../../../src/nri/creation.ts';
import { MuxParser, muxPieces } from '../../../src/nri/mux.ts';
import { Updates } from '../../../src/nri/updates.ts';
import { parseBootstrap } from '../../../src/oci/runtime/shim/bootstrap.ts';
import { generateSpec } from '../../../src/oci/runtime/spec/generate.ts';
import { limitsOf } from '../../../src/oci/runtime/spec/resources.ts';
import { CONTAINER_ID, container, inputOf } from '../../unit/oci/runtime/spec/fixtures.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const input0 = inputOf({});
const document = generateSpec(input0);
const before = text(document);

function text(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'bigint' ? String(member) : member,
  );
}

const adjust = create(CreateContainerResponseSchema, {
  adjust: {
    annotations: { a: 'b', '-c': '' },
    env: [
      { key: 'A', value: 'b' },
      { key: '-HOME', value: '' },
    ],
    args: ['x'],
    mounts: [
      { source: '/a', destination: '/b', type: 'bind', options: ['rbind', 'rw'] },
      { destination: '-/c' },
    ],
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 5n, hard: 9n }],
    hooks: { prestart: [{ path: '/bin/x', args: ['x'] }] },
    CDIDevices: [{ name: 'v.com/c=d' }],
    linux: {
      oomScoreAdj: { value: 7n },
      sysctl: { 'net.a': '1' },
      devices: [{ path: '/dev/x', type: 'c', major: 1n, minor: 3n }],
      namespaces: [{ type: 'network', path: '/run/netns/x' }],
      resources: {
        memory: { limit: { value: 4096n } },
        cpu: { shares: { value: 5n }, cpus: '0-1' },
        pids: { limit: 5n },
        hugepageLimits: [{ pageSize: '2MB', limit: 5n }],
        unified: { 'memory.high': '1' },
      },
    },
  },
  update: [{ containerId: 'b'.repeat(64), linux: { resources: { cpu: { quota: { value: 5n } } } } }],
  evict: [{ containerId: 'c'.repeat(64), reason: 'r' }],
});

/** All frames of these pieces; a refusal ends them. */
function framesOf(input: Buffer, step: number): string {
  const parser = new TtrpcParser();
  const lines: string[] = [];
  try {
    for (let at = 0; at < input.length; at += step) {
      for (const { streamId, type, flags, payload } of parser.push(input.subarray(at, at + step)))
        lines.push(`${streamId} ${type} ${flags} ${Buffer.from(payload).toString('hex')}`);
    }
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    lines.push(error.fault.message);
  }
  return lines.join('\n');
}

const wire: readonly Kind[] = [
  {
    name: 'ttrpc',
    seeds: [
      Buffer.concat([
        encodeTtrpcFrame({ streamId: 1, type: 1, flags: 0, payload: Buffer.from('abc') }),
        encodeTtrpcFrame({ streamId: 3, type: 2, flags: 1, payload: Buffer.alloc(0) }),
      ]),
    ],
    run: (input) => {
      const whole = framesOf(input, Math.max(1, input.length));
      if (whole !== framesOf(input, 1 + (input.length % 7))) violated('in pieces they are other frames');
      return whole !== '' && !whole.includes('read a ttrpc');
    },
  },
  {
    name: 'mux',
    seeds: [Buffer.concat([...muxPieces(1, Buffer.from('abc')), ...muxPieces(2, Buffer.alloc(40))])],
    run: (input) => {
      const bytesOf = (step: number): string => {
        const parser = new MuxParser();
        const found = new Map<number, string>();
        try {
          for (let at = 0; at < input.length; at += step)
            for (const { id, bytes } of parser.push(input.subarray(at, at + step)))
              found.set(id, (found.get(id) ?? '') + Buffer.from(bytes).toString('hex'));
        } catch (error) {
          if (!(error instanceof Error) || !error.message.startsWith('got a frame of ')) throw error;
          return 'refused';
        }
        return JSON.stringify([...found]);
      };
      const whole = bytesOf(Math.max(1, input.length));
      if (whole !== bytesOf(1 + (input.length % 7))) violated('in pieces they are other bytes');
      return whole !== 'refused';
    },
  },
];

/** Decoding, and what stands behind it. */
const messages: readonly Kind[] = [
  {
    name: 'creation',
    seeds: [toBinary(CreateContainerResponseSchema, adjust)],
    run: (input) => {
      const message = decodeMessage(CreateContainerResponseSchema, input);
      const creation = new Creation({
        id: CONTAINER_ID,
        document,
        limits: container.resources,
        limitsOf: (limits) => limitsOf(limits, input0.host),
      });
      try {
        creation.take('00-fuzz', message);
        creation.take(
          '10-fuzz',
          fromBinary(CreateContainerResponseSchema, toBinary(CreateContainerResponseSchema, adjust)),
        );
      } finally {
        if (text(document) !== before) violated('the document that a plugin was shown has changed');
      }
      const after = creation.document;
      if (after.linux.cgroupsPath !== document.linux.cgroupsPath)
        violated('a plugin has moved the container');
      JSON.parse(text(after));
      return true;
    },
  },
  {
    name: 'updates',
    seeds: [
      toBinary(
        UpdateContainersRequestSchema,
        create(UpdateContainersRequestSchema, { update: adjust.update, evict: adjust.evict }),
      ),
    ],
    run: (input) => {
      const { update, evict } = decodeMessage(UpdateContainersRequestSchema, input);
      const updates = new Updates();
      updates.take('00-fuzz', update, evict);
      for (const { containerId } of update) text(updates.changeOf(containerId));
      return updates.messages().length > 0;
    },
  },
  {
    name: 'register',
    seeds: [
      toBinary(
        RegisterPluginRequestSchema,
        create(RegisterPluginRequestSchema, { pluginName: 'a', pluginIdx: '10' }),
      ),
    ],
    run: (input) => decodeMessage(RegisterPluginRequestSchema, input).pluginName !== '',
  },
  {
    name: 'configure',
    seeds: [toBinary(ConfigureResponseSchema, create(ConfigureResponseSchema, { events: 5 }))],
    run: (input) => decodeMessage(ConfigureResponseSchema, input).events !== 0,
  },
  {
    name: 'request',
    seeds: [
      toBinary(
        RequestSchema,
        create(RequestSchema, {
          service: 's',
          method: 'm',
          payload: Buffer.from('x'),
          timeoutNano: 5n,
          metadata: [{ key: 'a', value: 'b' }],
        }),
      ),
    ],
    run: (input) => decodeMessage(RequestSchema, input).service !== '',
  },
  {
    name: 'response',
    seeds: [
      toBinary(
        ResponseSchema,
        create(ResponseSchema, { status: { code: 5, message: 'not found' }, payload: Buffer.from('x') }),
      ),
    ],
    run: (input) => decodeMessage(ResponseSchema, input).status !== undefined,
  },
  {
    name: 'bootstrap',
    seeds: [
      'unix:///run/x.sock',
      '{"version":3,"address":"unix:///run/x.sock","protocol":"ttrpc"}',
      '@abstract',
      Buffer.from('0803120a2f72756e2f782e736f63', 'hex'),
    ],
    run: (input) => {
      const { path, api } = parseBootstrap(input);
      if ((api !== 2 && api !== 3) || !/^[/\0]/u.test(path) || path.slice(1).includes('\0'))
        violated(`an address ${JSON.stringify(path)} of version ${api}`);
      return true;
    },
  },
];

export const nriLearner = learnerOf(
  [...wire, ...messages],
  ['outside', 'exhausted', 'unsupported', 'invalidRequest', 'conflict'],
  ['__proto__', '-HOME', '-'],
);
