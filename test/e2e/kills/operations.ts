// The operations of the sweep.
import * as containers from './container-operations.ts';
import { pullImage, removeImage } from './image-operations.ts';
import { removePodSandbox, runPodSandbox, stopPodSandbox } from './pod-operations.ts';
import type { Operation } from './stage.ts';

export const operations: readonly Operation[] = [
  runPodSandbox,
  containers.createContainer,
  containers.startContainer,
  containers.stopContainer,
  containers.removeContainerOperation,
  stopPodSandbox,
  removePodSandbox,
  containers.updateContainerResources,
  pullImage,
  removeImage,
];
