/**
 * List as text, in pieces. Whole answers of connect cost 40 µs for each actor in one go, which is 70 ms for a node that
 * is full; a view never changes, so the text of an actor that waits on nothing is kept as long as its view lives.
 */
import { create, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ByteBlocks } from '../base/byte-blocks.ts';
import { introspectionLimits } from './bounds.ts';
import type { View } from '../actors/directory/views.ts';
import { ActorSchema, ListRequestSchema } from '../gen/introspection/v1/introspection_pb.ts';
import { actorWith, describeActor } from './describe.ts';
import { listedViews } from './service.ts';
import type { IntrospectionOptions } from './service.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const PATH = '/introspection.v1.Introspection/List';

/** Answers List when it is asked for as JSON, and hands everything else on. */
export function withListText(options: IntrospectionOptions, rest: Handler): Handler {
  const texts = new ListTexts(options);
  return (request, response) => {
    if (!isListOfJson(request)) {
      rest(request, response);
      return;
    }
    answer(texts, request).then(
      (text) => end(response, 200, text),
      (thrown: unknown) => {
        const { code, rawMessage } = ConnectError.from(thrown);
        // the connect protocol's error of a unary call; what is wrong is the request or we are
        if (code === Code.InvalidArgument)
          end(response, 400, JSON.stringify({ code: 'invalid_argument', message: rawMessage }));
        else end(response, 500, JSON.stringify({ code: 'internal', message: rawMessage }));
      },
    );
  };
}

function isListOfJson({ method, url, headers }: IncomingMessage): boolean {
  const isPlain = headers['content-encoding'] === undefined || headers['content-encoding'] === 'identity';
  return method === 'POST' && url === PATH && isPlain && headers['content-type'] === 'application/json';
}

function end(response: ServerResponse, status: number, text: string): void {
  // whoever asked may have gone meanwhile: then nobody hears it
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

async function answer(texts: ListTexts, request: IncomingMessage): Promise<string> {
  const body = await bodyOf(request);
  let kind: string;
  try {
    ({ kind } = fromJsonString(ListRequestSchema, body, { ignoreUnknownFields: true }));
  } catch {
    throw new ConnectError('list: the request is not a ListRequest', Code.InvalidArgument);
  }
  return texts.answer(kind);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const body = new ByteBlocks('read a request', introspectionLimits.requestBytes);
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (chunk.length > body.room)
      throw new ConnectError('list: the request is too large', Code.InvalidArgument);
    body.append(chunk);
  }
  return Buffer.from(body.takeAll()).toString('utf8');
}

interface Kept {
  readonly sinceNs: bigint;
  readonly text: string;
}

/** The JSON of ListResponse. */
export class ListTexts {
  readonly #options: IntrospectionOptions;
  readonly #kept = new WeakMap<View, Kept>();

  constructor(options: IntrospectionOptions) {
    this.#options = options;
  }

  /** All actors of the kind, of every kind for an empty one; the event loop gets its turn in between. */
  async answer(kind: string): Promise<string> {
    // the number first: a change in between is told twice rather than never
    const { seq } = this.#options.recorder;
    const texts: string[] = [];
    let made = 0;
    for (const view of listedViews(this.#options, kind)) {
      const isBusy = this.#options.activity.isBusy(view.address);
      const kept = isBusy ? undefined : this.#stillTrue(view);
      if (kept === undefined) {
        if (made > 0 && made % introspectionLimits.actorsPerTurn === 0) await this.#nextTurn();
        made += 1;
      }
      texts.push(kept ?? (isBusy ? textOf(await describeActor(this.#options, view)) : this.#make(view)));
    }
    return `{${texts.length === 0 ? '' : `"actors":[${texts.join(',')}],`}"seq":"${seq}"}`;
  }

  #stillTrue(view: View): string | undefined {
    const kept = this.#kept.get(view);
    return kept !== undefined && (this.#options.recorder.since(view.address) ?? 0n) === kept.sinceNs
      ? kept.text
      : undefined;
  }

  #make(view: View): string {
    const message = actorWith(this.#options, view, []);
    const text = textOf(message);
    // one that has ended while the list was made is not in the next
    this.#kept.set(view, { sinceNs: message.sinceNs ?? 0n, text });
    return text;
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.setTimeout(resolve, 0);
    });
  }
}

function textOf(message: MessageInitShape<typeof ActorSchema>): string {
  return toJsonString(ActorSchema, create(ActorSchema, message));
}
