/** The port over plugins: what happens on the node is told to each of them in turn. */
import type { EffectContext } from '../ports/effect.ts';
import type { ExitFact } from '../ports/journal.ts';
import type { NriContainerEvent, NriNode, NriPlugin, NriPort, NriPodEvent } from '../ports/nri.ts';
import { mergeResources } from '../ports/resources.ts';
import type { BundleInput } from '../ports/runtime.ts';
import type { Resources } from '../ports/specs.ts';
import { unlessAborted } from '../base/abort.ts';
import { Semaphore } from '../base/bounded.ts';
import { fail, toFault } from '../base/fault.ts';
import type { ContainerId, SandboxId } from '../base/ids.ts';
import { nriLimits } from './bounds.ts';
import { Event, Plugin as PluginService } from '../gen/nri/v1alpha1/api_pb.ts';
import type { ContainerUpdate, UpdateContainersRequest } from '../gen/nri/v1alpha1/api_pb.ts';
import type { OciLimits, OciSpec } from '../oci/runtime/spec/types.ts';
import { Creation } from './creation.ts';
import { synchronizeMs, withPluginsBound } from './bounded.ts';
import { Descriptions } from './descriptions.ts';
import type { DescriptionsOptions } from './descriptions.ts';
import { containerMessage } from './facts.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';
import { Known } from './known.ts';
import { limitsMessage } from './limits.ts';
import { Members } from './members.ts';
import type { MembersOptions } from './members.ts';
import { merged } from './merged.ts';
import { CONTAINER_NEWS, POD_NEWS, REFUSABLE, STATE_AFTER } from './events.ts';
import type { Plugin } from './plugin.ts';
import { synchronize } from './synchronize.ts';
import { Updates } from './updates.ts';
import { validate } from './validator.ts';
import type { ValidatorSettings } from './validator.ts';

export interface NriOptions extends Omit<MembersOptions, 'join' | 'onUpdate'>, DescriptionsOptions {
  readonly validator: ValidatorSettings;
}

/** What plugins made of a document. */
export interface Adjusted {
  readonly document: OciSpec;
  /** The limits in it, where they are others than those that were asked for. */
  readonly limits: Resources | undefined;
  /** Names of CDI devices that are still to be put in. */
  readonly cdiDevices: readonly string[];
}

export class NriDriver implements NriPort {
  readonly #options: NriOptions;
  readonly #members: Members;
  /** One call after the other over all pods (nri, pkg/adaptation): plugins keep books, and books need an order. */
  readonly #turn = new Semaphore('nri plugins', 1, nriLimits.waiting);
  readonly #known = new Known();
  readonly #descriptions: Descriptions;
  #node: NriNode | undefined;

  constructor(options: NriOptions) {
    this.#options = options;
    this.#descriptions = new Descriptions(options, () => this.#node);
    this.#members = new Members({
      ...options,
      join: (plugin, admit) => this.#join(plugin, admit),
      onUpdate: (plugin, request, signal) => this.#onUpdate(plugin, request, signal),
    });
  }

  plugins(): readonly NriPlugin[] {
    return this.#members.states;
  }

  isActive(): boolean {
    return this.#members.starting !== undefined || this.#members.all.length > 0;
  }

  attach(node: NriNode): void {
    this.#node = node;
  }

  /** Once the node has recovered: a plugin is told of what there is. Settles when those of the directory are in. */
  start(): Promise<void> {
    const { socket, pluginDirectory } = this.#options;
    return socket === '' && pluginDirectory === '' ? Promise.resolve() : this.#members.start();
  }

  close(): Promise<void> {
    return this.#members.close();
  }

  async notifyPod(news: NriPodEvent, id: SandboxId, fx: EffectContext): Promise<void> {
    await this.#inTurn(fx, async () => {
      const isNew = news === 'RunPodSandbox' || news === 'PostUpdatePodSandbox';
      if (news === 'RunPodSandbox') this.#known.pods.set(id, 'lives');
      // one that plugins never heard of is not news to them
      const before = this.#known.pods.get(id);
      if (before === undefined || (before === 'ended' && news === 'StopPodSandbox')) return;
      const pod = this.#descriptions.podOf(id);
      if (pod === undefined) return;
      const tell = (one: NriPodEvent): Promise<void> =>
        this.#each(one, fx, (plugin) => POD_NEWS[one](plugin, { pod }, fx)).then(() => undefined);
      // its start was refused, so nobody has stopped it
      if (news === 'RemovePodSandbox' && before === 'lives') await tell('StopPodSandbox');
      await tell(news);
      if (news === 'RemovePodSandbox') this.#known.pods.delete(id);
      else if (!isNew) this.#known.pods.set(id, 'ended');
    });
  }

  async notifyContainer(
    news: NriContainerEvent,
    id: ContainerId,
    fx: EffectContext,
    exit?: ExitFact,
  ): Promise<void> {
    const updates = new Updates();
    await this.#inTurn(fx, async () => {
      const before = this.#known.containers.get(id);
      if (before === undefined || (before === 'ended' && news === 'StopContainer')) return;
      const about = await this.#descriptions.aboutOf(id, {
        ...STATE_AFTER[news],
        ...(exit === undefined ? {} : { exit }),
      });
      if (about === undefined) return;
      const tell = async (one: NriContainerEvent): Promise<void> => {
        await this.#each(one, fx, async (plugin) => {
          updates.take(plugin.id, await CONTAINER_NEWS[one](plugin, about, fx));
        });
      };
      if (news === 'RemoveContainer' && before === 'lives') await tell('StopContainer');
      await tell(news);
      if (news === 'RemoveContainer') this.#known.containers.delete(id);
      else if (news === 'StopContainer') this.#known.containers.set(id, 'ended');
    });
    await this.#apply(updates, fx).catch(() => undefined);
  }

  async updatePod(
    id: SandboxId,
    { overhead, resources }: { readonly overhead: Resources; readonly resources: Resources },
    fx: EffectContext,
  ): Promise<void> {
    await this.#inTurn(fx, async () => {
      const pod = this.#descriptions.podOf(id);
      if (pod === undefined) return;
      const message = {
        pod,
        overheadLinuxResources: limitsMessage(overhead),
        linuxResources: limitsMessage(resources),
      };
      await this.#each(
        'UpdatePodSandbox',
        fx,
        (plugin) => plugin.ask(Event.UPDATE_POD_SANDBOX, PluginService.method.updatePodSandbox, message, fx),
        true,
      );
    });
  }

  async updateContainer(id: ContainerId, change: Resources, fx: EffectContext): Promise<Resources> {
    const updates = new Updates();
    const wanted = (): Resources => mergeResources(change, updates.changeOf(id));
    await this.#inTurn(fx, async () => {
      const about = await this.#descriptions.aboutOf(id);
      if (about === undefined) return;
      await this.#each(
        'UpdateContainer',
        fx,
        async (plugin) => {
          const message = { ...about, linuxResources: limitsMessage(wanted()) };
          const answer = await plugin.ask(
            Event.UPDATE_CONTAINER,
            PluginService.method.updateContainer,
            message,
            fx,
          );
          if (answer !== undefined) updates.take(plugin.id, answer.update, answer.evict);
        },
        true,
      );
    });
    await this.#apply(updates, fx, id);
    return wanted();
  }

  /** CreateContainer: what plugins make of a document before it is written. Rejects with a refusal or a conflict. */
  adjust(
    input: BundleInput,
    document: OciSpec,
    limitsOf: (limits: Resources) => OciLimits,
    fx: EffectContext,
  ): Promise<Adjusted> {
    const { validator, clock } = this.#options;
    if (!this.isActive() && !validator.enable)
      return Promise.resolve({ document, limits: undefined, cdiDevices: [] });
    return withPluginsBound(clock, `create container ${input.id}`, fx, (bound) =>
      this.#adjust(input, document, limitsOf, bound),
    );
  }

  async #adjust(
    { id, sandboxId, spec }: BundleInput,
    document: OciSpec,
    limitsOf: (limits: Resources) => OciLimits,
    fx: EffectContext,
  ): Promise<Adjusted> {
    const { validator } = this.#options;
    const creation = new Creation({ id, document, limits: spec.resources, limitsOf });
    await this.#inTurn(fx, async () => {
      const container = this.#node?.container(id);
      const ofPod = this.#node?.pod(sandboxId);
      if (container === undefined || ofPod === undefined)
        fail('bug', `create container ${id}: nobody knows it`, { subject: id });
      const pod = this.#descriptions.pod(ofPod);
      this.#known.containers.set(id, 'lives');
      const asked = this.#members.all;
      await this.#each(
        'CreateContainer',
        fx,
        async (plugin) => {
          const message = { pod, container: containerMessage(container, creation.document) };
          const answer = await plugin.ask(
            Event.CREATE_CONTAINER,
            PluginService.method.createContainer,
            message,
            fx,
          );
          if (answer !== undefined) creation.take(plugin.id, answer);
        },
        true,
      );
      // one that gave no answer has not seen this container
      const plugins = asked.filter((plugin) => !plugin.isGone).map((plugin) => plugin.named);
      validate(validator, {
        id,
        spec,
        pod: ofPod,
        owners: creation.owners,
        plugins: plugins.map(({ name }) => name),
      });
      await this.#validate(creation, { pod, container: containerMessage(container, document), plugins }, fx);
    });
    await this.#apply(creation.updates, fx);
    return {
      document: creation.document,
      limits: creation.hasNewLimits ? creation.limits : undefined,
      cdiDevices: creation.cdiDevices,
    };
  }

  /** All validators at once. One that gives no answer has not agreed. */
  async #validate(
    creation: Creation,
    about: {
      readonly pod: PodMessage;
      readonly container: ContainerMessage;
      readonly plugins: readonly { readonly name: string; readonly index: string }[];
    },
    fx: EffectContext,
  ): Promise<void> {
    const validators = this.#members.all.filter((plugin) =>
      plugin.hears(Event.VALIDATE_CONTAINER_ADJUSTMENT),
    );
    if (validators.length === 0) return;
    fx.note({ on: `nri ${validators.map((plugin) => plugin.id).join(', ')} ValidateContainerAdjustment` });
    const message = {
      ...about,
      plugins: [...about.plugins],
      adjust: merged(creation.adjustments),
      update: [...creation.updates.messages()],
      owners: creation.owners.message(),
    };
    await Promise.all(
      validators.map(async (plugin) => {
        const answer = await plugin.ask(
          Event.VALIDATE_CONTAINER_ADJUSTMENT,
          PluginService.method.validateContainerAdjustment,
          message,
          fx,
        );
        if (answer === undefined)
          fail('outside', `nri plugin ${plugin.id}: ValidateContainerAdjustment: it gave no answer`, {
            subject: plugin.id,
          });
        if (answer.reject)
          fail(
            'denied',
            `nri plugin ${plugin.id} rejected the adjustment: ${answer.reason.slice(0, nriLimits.reasonChars) || 'it gave no reason'}`,
            { subject: plugin.id },
          );
      }),
    );
  }

  /** What happens while the directory's plugins are on their way happens with them. */
  async #inTurn<T>(fx: EffectContext, work: () => Promise<T>): Promise<T> {
    const { starting } = this.#members;
    if (starting !== undefined) {
      fx.note({ on: 'nri: the start of plugins' });
      await unlessAborted(starting, fx.signal);
    }
    fx.note({ on: 'nri: the turn of others' });
    return this.#turn.with(work, fx.signal);
  }

  /** Each plugin that is there now; one that joins meanwhile was told of this already. */
  async #each(
    name: string,
    fx: EffectContext,
    tell: (plugin: Plugin) => Promise<unknown>,
    isRefusable = REFUSABLE.has(name),
  ): Promise<void> {
    for (const plugin of this.#members.all) {
      fx.note({ on: `nri ${plugin.id} ${name}` });
      try {
        await tell(plugin);
      } catch (error) {
        if (isRefusable || fx.signal.aborted) throw error;
        this.#options.log.warn(
          { plugin: plugin.id, reason: toFault(error).message },
          `an nri plugin failed at ${name}`,
        );
      }
    }
  }

  async #apply(updates: Updates, fx: EffectContext, except?: string): Promise<void> {
    if (this.#node === undefined || updates.isEmpty) return;
    fx.note({ on: 'nri: updates of other containers' });
    await updates.apply(this.#node, fx.signal, this.#options.log, except);
  }

  /** Synchronize, and from then on it hears what happens: in its turn, so that each thing is told once, in either way. */
  async #join(plugin: Plugin, admit: () => void): Promise<void> {
    const { log, clock, requestMs } = this.#options;
    const node = this.#node ?? fail('bug', 'let an nri plugin in: there is no node yet');
    const updates = new Updates();
    await this.#turn.with(async () => {
      const { pods, containers } = this.#known.meet(node);
      const ofPods = pods.map((pod) => this.#descriptions.pod(pod));
      const answer = await synchronize(plugin, ofPods, this.#descriptions.each(containers), {
        clock,
        callsMs: synchronizeMs(requestMs),
      });
      updates.take(plugin.id, answer);
      admit();
    });
    await updates.apply(node, new AbortController().signal, log).catch(() => undefined);
  }

  async #onUpdate(
    plugin: Plugin,
    { update, evict }: UpdateContainersRequest,
    signal: AbortSignal,
  ): Promise<{ failed: ContainerUpdate[] }> {
    const { log } = this.#options;
    if (this.#node === undefined || !this.#members.all.includes(plugin)) {
      fail('wrongState', `nri plugin ${plugin.id}: UpdateContainers: it has not been synchronized yet`, {
        subject: plugin.id,
      });
    }
    const updates = new Updates();
    updates.take(plugin.id, update, evict);
    const failed = await updates.apply(this.#node, signal, log);
    return { failed: update.filter(({ containerId }) => failed.includes(containerId)) };
  }
}
