// A WebAssembly handler: crun with WasmEdge runs images that hold a module instead of a program.
import { deepStrictEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stage } from '../../conformance-cri/stage.ts';
import { wasmImage } from '../../support/images/wasm-image.ts';
import { eventually } from '../../support/eventually.ts';
import { crunWithWasm } from '../../support/tools/runtimes.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { makeWorld } from '../support/world.ts';

const LINE = 'written by a module';
/** The module exits with it; crun reports 0 for each module that WasmEdge has run. */
const EXIT_CODE = 7;
const HANDLER = 'wasm';

/** Runs a module in a pod of its own from pull to removal; throws what did not hold. */
export async function runWasm(): Promise<void> {
  const world = await makeWorld({
    name: 'wasm',
    images: new Map([['test/wasm:1', wasmImage(`${LINE}\n`, EXIT_CODE)]]),
    config: [
      `[runtime.handlers.${HANDLER}]`,
      `path = "${await crunWithWasm()}"`,
      // else crun takes the module for a program
      'default_annotations = { "run.oci.handler" = "wasm" }',
    ].join('\n'),
  });
  try {
    const { client, registry } = world;
    const stage = await Stage.open({ client, socket: world.instance.socket, registry, handler: HANDLER });
    try {
      await runModule(stage);
    } finally {
      await stage.close();
    }
    deepStrictEqual(await world.leftovers(), []);
  } finally {
    await world.close();
  }
}

async function runModule(stage: Stage): Promise<void> {
  const { id, config, logs } = await stage.runPod(stage.sandbox('wasm'));
  const { containerId } = await stage.runtime.createContainer({
    podSandboxId: id,
    sandboxConfig: config,
    config: {
      metadata: { name: 'module', attempt: 0 },
      image: { image: await stage.imageId('test/wasm:1') },
      logPath: 'module.log',
      linux: {},
    },
  });
  await stage.runtime.startContainer({ containerId });
  const ended = await eventually('the end of the module', async () => {
    const { status } = await stage.runtime.containerStatus({ containerId });
    return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
  });
  // time, stream and tag come before it
  const line = /^\S+ stdout F (.*)$/mu.exec(readFileSync(join(logs, 'module.log'), 'utf8'))?.[1];
  deepStrictEqual({ line, exitCode: ended.exitCode }, { line: LINE, exitCode: 0 });
  await stage.removePod(id);
}
