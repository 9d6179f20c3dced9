// The other end of a plugin's connection, in this process: the same two connections in one, the ends exchanged.
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../../../src/ports/clock.ts';
import { Plugin as PluginService, Runtime } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import type { SynchronizeRequest, SynchronizeResponseSchema } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { TtrpcClient } from '../../../src/ttrpc/client.ts';
import { TtrpcServer, ttrpcRoute } from '../../../src/ttrpc/server.ts';
import type { TtrpcRoute } from '../../../src/ttrpc/server.ts';
import { Mux, PLUGIN_CONNECTION, RUNTIME_CONNECTION } from '../../../src/nri/mux.ts';

export class FakePlugin {
  /** What the runtime is handed. */
  readonly trunk: Duplex;
  readonly client: TtrpcClient;
  /** Names of the methods in the order of the calls. */
  readonly heard: string[] = [];
  /** Its answer to Synchronize; to be replaced before it registers. */
  synchronize: (request: SynchronizeRequest) => MessageInitShape<typeof SynchronizeResponseSchema> = ({
    more,
  }) => ({ more });
  readonly #theirs: Duplex;
  readonly #routes: TtrpcRoute[] = [];

  constructor(clock: ClockPort) {
    const [ours, theirs] = duplexPair();
    this.trunk = ours;
    this.#theirs = theirs;
    const mux = new Mux(theirs);
    this.client = new TtrpcClient(mux.open(RUNTIME_CONNECTION), { clock, peer: 'runtime' });
    void new TtrpcServer(mux.open(PLUGIN_CONNECTION), { clock, routes: this.#routes });
    this.on(PluginService.method.configure, () => ({}));
    this.on(PluginService.method.synchronize, (request) => this.synchronize(request));
  }

  /** Answers this method from now on; one that is not named is unimplemented. */
  on<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    answer: (request: MessageShape<I>) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
  ): this {
    const route = ttrpcRoute(method, async (request) => {
      this.heard.push(method.name);
      return await answer(request);
    });
    const at = this.#routes.findIndex(({ method: name }) => name === method.name);
    if (at < 0) this.#routes.push(route);
    else this.#routes[at] = route;
    return this;
  }

  /** Answers this method with these bytes, whatever they are. */
  saysRaw(method: string, bytes: Uint8Array): void {
    this.#routes.push({ service: PluginService.typeName, method, handle: () => Promise.resolve(bytes) });
  }

  /** Answers every other method with an empty message. */
  hearsAll(): this {
    for (const { name } of PluginService.methods) {
      if (this.#routes.some(({ method }) => method === name)) continue;
      this.#routes.push({
        service: PluginService.typeName,
        method: name,
        handle: async () => {
          this.heard.push(name);
          return new Uint8Array(0);
        },
      });
    }
    return this;
  }

  /** Registers as this. */
  async registers(pluginName: string, pluginIdx: string): Promise<void> {
    await this.client.call(Runtime.method.registerPlugin, { pluginName, pluginIdx });
  }

  /** Bytes of its own making. */
  writes(bytes: Uint8Array): void {
    this.#theirs.write(bytes);
  }

  dies(): void {
    this.#theirs.destroy();
  }
}
