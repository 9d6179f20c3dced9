/** The NRI port: sends each event of the node to each plugin in turn. */
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
import { NriDescriptions } from './descriptions.ts';
import type { DescriptionsOptions } from './descriptions.ts';
import { containerMessage } from './facts.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';
import { Known } from './known.ts';
import { limitsMessage } from './limits.ts';
import { Members } from './members.ts';
import type { MembersOptions } from './members.ts';
import { merged } from './merged.ts';
import { CONTAINER_CALLS, POD_CALLS, REFUSABLE, STATE_AFTER } from './events.ts';
import type { Plugin } from './plugin.ts';
import { synchronize } from './synchronize.ts';
import { Updates } from './updates.ts';
import { missingPlugins, validate } from './validator.ts';
import type { ValidatorSettings } from './validator.ts';

export interface NriOptions extends Omit<MembersOptions, 'join' | 'onUpdate'>, DescriptionsOptions {
  readonly validator: ValidatorSettings;
}

/** The result of the plugins' adjustments to a container that is being created. */
export interface Adjusted {
  readonly document: OciSpec;
  /** The limits in the spec, where they differ from the requested ones. */
  readonly limits: Resources | undefined;
  /** Names of CDI devices that the caller must still inject. */
  readonly cdiDevices: readonly string[];
}

export class NriDriver implements NriPort {
  readonly #options: NriOptions;
  readonly #members: Members;
  /**
   * Calls run one after the other over all pods (nri, pkg/adaptation): plugins keep an account of the node's
   * resources, which needs an order.
   */
  readonly #turn = new Semaphore('nri plugins', 1, nriLimits.waiting);
  readonly #known = new Known();
  readonly #descriptions: NriDescriptions;
  #node: NriNode | undefined;

  constructor(options: NriOptions) {
    this.#options = options;
    this.#descriptions = new NriDescriptions(options, () => this.#node);
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

  /**
   * Call it once the node has recovered, since a new plugin gets a list of what exists. Settles when the
   * directory's plugins have joined.
   */
  start(): Promise<void> {
    const { socket, pluginDirectory } = this.#options;
    return socket === '' && pluginDirectory === '' ? Promise.resolve() : this.#members.start();
  }

  close(): Promise<void> {
    return this.#members.close();
  }

  async notifyPod(event: NriPodEvent, id: SandboxId, fx: EffectContext): Promise<void> {
    await this.#inTurn(fx, async () => {
      const isNew = event === 'RunPodSandbox' || event === 'PostUpdatePodSandbox';
      if (event === 'RunPodSandbox') this.#known.pods.set(id, 'active');
      // a pod that plugins were never informed about
      const before = this.#known.pods.get(id);
      if (before === undefined || (before === 'ended' && event === 'StopPodSandbox')) return;
      const pod = this.#descriptions.podOf(id);
      if (pod === undefined) return;
      const send = (one: NriPodEvent): Promise<void> =>
        this.#each(one, fx, (plugin) => POD_CALLS[one](plugin, { pod }, fx)).then(() => undefined);
      // its start was refused, so StopPodSandbox was not sent yet
      if (event === 'RemovePodSandbox' && before === 'active') await send('StopPodSandbox');
      await send(event);
      if (event === 'RemovePodSandbox') this.#known.pods.delete(id);
      else if (!isNew) this.#known.pods.set(id, 'ended');
    });
  }

  async notifyContainer(
    event: NriContainerEvent,
    id: ContainerId,
    fx: EffectContext,
    exit?: ExitFact,
  ): Promise<void> {
    const updates = new Updates();
    await this.#inTurn(fx, async () => {
      const before = this.#known.containers.get(id);
      if (before === undefined || (before === 'ended' && event === 'StopContainer')) return;
      const about = await this.#descriptions.aboutOf(id, {
        ...STATE_AFTER[event],
        ...(exit === undefined ? {} : { exit }),
      });
      if (about === undefined) return;
      const send = async (one: NriContainerEvent): Promise<void> => {
        await this.#each(one, fx, async (plugin) => {
          updates.take(plugin.id, await CONTAINER_CALLS[one](plugin, about, fx));
        });
      };
      if (event === 'RemoveContainer' && before === 'active') await send('StopContainer');
      await send(event);
      if (event === 'RemoveContainer') this.#known.containers.delete(id);
      else if (event === 'StopContainer') this.#known.containers.set(id, 'ended');
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

  /** CreateContainer: plugins adjust the spec before it is written. Rejects on a refusal or a conflict. */
  async adjust(
    input: BundleInput,
    document: OciSpec,
    limitsOf: (limits: Resources) => OciLimits,
    fx: EffectContext,
  ): Promise<Adjusted> {
    const { validator, clock } = this.#options;
    if (!this.isActive() && !validator.enable) return { document, limits: undefined, cdiDevices: [] };
    await this.#whenBack(input.sandboxId, input.spec, fx);
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
        fail('bug', `create container ${id}: container not found`, { subject: id });
      const pod = this.#descriptions.pod(ofPod);
      this.#known.containers.set(id, 'active');
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
      // a plugin that did not answer has not seen this container
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

  /** After a restart or a take-over a container waits for the plugins that it needs, outside of the turn of events. */
  async #whenBack(sandboxId: SandboxId, spec: BundleInput['spec'], fx: EffectContext): Promise<void> {
    const pod = this.#node?.pod(sandboxId);
    if (pod === undefined) return;
    const missing = (): readonly string[] => {
      const plugins = this.#members.all.map(({ named }) => named.name);
      return missingPlugins(this.#options.validator, { spec, pod, plugins });
    };
    const absent = missing();
    if (absent.length === 0) return;
    fx.note({ on: `nri: required plugin ${absent.join(', ')}` });
    await this.#members.whenBack(() => missing().length > 0, fx.signal);
  }

  /** Calls all validators at once. A validator that does not answer counts as a rejection. */
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
      plugin.subscribes(Event.VALIDATE_CONTAINER_ADJUSTMENT),
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
          fail('outside', `nri plugin ${plugin.id}: ValidateContainerAdjustment: no answer`, {
            subject: plugin.id,
          });
        if (answer.reject)
          fail(
            'denied',
            `nri plugin ${plugin.id} rejected the adjustment: ${answer.reason.slice(0, nriLimits.reasonChars) || 'no reason given'}`,
            { subject: plugin.id, quotesOutput: true },
          );
      }),
    );
  }

  /** Waits until the plugins of the directory have started, then for earlier events. */
  async #inTurn<T>(fx: EffectContext, work: () => Promise<T>): Promise<T> {
    const { starting } = this.#members;
    if (starting !== undefined) {
      fx.note({ on: 'nri: start of plugins' });
      await unlessAborted(starting, fx.signal);
    }
    fx.note({ on: 'nri: earlier events' });
    return this.#turn.with(work, fx.signal);
  }

  /**
   * Calls each plugin that is connected now. A plugin that joins meanwhile has this event in its Synchronize
   * already.
   */
  async #each(
    name: string,
    fx: EffectContext,
    send: (plugin: Plugin) => Promise<unknown>,
    isRefusable = REFUSABLE.has(name),
  ): Promise<void> {
    for (const plugin of this.#members.all) {
      fx.note({ on: `nri ${plugin.id} ${name}` });
      try {
        await send(plugin);
      } catch (error) {
        if (isRefusable || fx.signal.aborted) throw error;
        this.#options.log.warn(
          { plugin: plugin.id, reason: toFault(error).message },
          `nri plugin failed at ${name}`,
        );
      }
    }
  }

  async #apply(updates: Updates, fx: EffectContext, except?: string): Promise<void> {
    if (this.#node === undefined || updates.isEmpty) return;
    fx.note({ on: 'nri: updates of other containers' });
    await updates.apply(this.#node, fx.signal, this.#options.log, except);
  }

  /**
   * Sends Synchronize, then admits the plugin to events. It runs in turn with events, so that the plugin
   * learns each fact exactly once, either way.
   */
  async #join(plugin: Plugin, admit: () => void): Promise<void> {
    const { log, clock, requestMs } = this.#options;
    const node = this.#node ?? fail('bug', 'admit nri plugin: no node attached yet');
    const updates = new Updates();
    await this.#turn.with(async () => {
      const { pods, containers } = this.#known.synchronize(node);
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
      fail('wrongState', `nri plugin ${plugin.id}: UpdateContainers: not synchronized yet`, {
        subject: plugin.id,
      });
    }
    const updates = new Updates();
    updates.take(plugin.id, update, evict);
    const failed = await updates.apply(this.#node, signal, log);
    return { failed: update.filter(({ containerId }) => failed.includes(containerId)) };
  }
}
