/**
 * Answers List as JSON, built in pieces. The connect library encodes an answer at once, 40 µs for each actor, which
 * blocks the event loop for 70 ms on a full node. A view never changes, so the text of an actor without waits is kept
 * as long as its view exists.
 */
import { create, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ByteBlocks } from '../base/byte-blocks.ts';
import { introspectionLimits } from './bounds.ts';
import type { View } from '../actors/directory/views.ts';
import { ActorSchema, ListRequestSchema } from '../gen/introspection/v1/introspection_pb.ts';
import { actorWith, describeActor, hasGrace } from './describe.ts';
import { removedFailures } from './failures.ts';
import { listedViews } from './service.ts';
import type { IntrospectionOptions } from './service.ts';

type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

const PATH = '/introspection.v1.Introspection/List';

/** Handles List requests in JSON, and passes all other requests to `rest`. */
export function withListText(options: IntrospectionOptions, rest: HttpHandler): HttpHandler {
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
        // the connect protocol's error format of a unary call
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
  // when the client has disconnected meanwhile, this has no effect
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

  /** All actors of this kind, or of all kinds for an empty text. It lets the event loop continue in between. */
  async answer(kind: string): Promise<string> {
    // read before the views: a change in between is then sent again by Watch, not lost
    const { seq } = this.#options.recorder;
    const isRecovering = !this.#options.troupe.hasRecovered();
    const texts: string[] = [];
    let made = 0;
    for (const view of listedViews(this.#options, kind)) {
      const isBusy = this.#options.activity.isBusy(view.address) || hasGrace(view);
      const kept = isBusy ? undefined : this.#unchanged(view);
      if (kept === undefined) {
        if (made > 0 && made % introspectionLimits.actorsPerTurn === 0) await this.#nextTurn();
        made += 1;
      }
      texts.push(kept ?? (isBusy ? textOf(await describeActor(this.#options, view)) : this.#make(view)));
    }
    const failures = removedFailures(this.#options.recorder, kind).map((view) => this.#failure(view));
    const recovering = isRecovering ? '"recovering":true,' : '';
    return `{${field('actors', texts)}${field('failures', failures)}${recovering}"seq":"${seq}"}`;
  }

  #failure(view: View): string {
    return this.#kept.get(view)?.text ?? this.#make(view);
  }

  #unchanged(view: View): string | undefined {
    const kept = this.#kept.get(view);
    return kept !== undefined && (this.#options.recorder.since(view.address) ?? 0n) === kept.sinceNs
      ? kept.text
      : undefined;
  }

  #make(view: View): string {
    const message = actorWith(this.#options, view, []);
    const text = textOf(message);
    // an actor that ended meanwhile is not in the next list, so its entry does no harm
    this.#kept.set(view, { sinceNs: message.sinceNs ?? 0n, text });
    return text;
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.setTimeout(resolve, 0);
    });
  }
}

const field = (name: string, texts: readonly string[]): string =>
  texts.length === 0 ? '' : `"${name}":[${texts.join(',')}],`;

function textOf(message: MessageInitShape<typeof ActorSchema>): string {
  return toJsonString(ActorSchema, create(ActorSchema, message));
}
