// What nodes of kubeadm are made with, in one directory: programs, and the images of the control plane and of pods.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crictl } from '../../support/tools/go-tools.ts';
import { etcd, kubernetes } from '../../support/tools/kubernetes.ts';
import { writeImage } from '../packages/archive.ts';
import { PROGRAMS } from './cluster-node.ts';
import { writeProgramImage } from './program-image.ts';

/** Programs are built the first time, which takes many minutes. */
export async function fillPrograms(directory: string): Promise<void> {
  await mkdir(join(directory, 'images'));
  for (const name of ['kubelet', 'kubeadm', 'kubectl'] as const)
    await copyFile(await kubernetes(name), join(directory, name));
  for (const name of PROGRAMS) {
    const program = name === 'etcd' ? await etcd() : await kubernetes(name);
    await writeProgramImage(join(directory, 'images', `${name}.tar`), `registry.example/${name}:1`, program);
  }
  await copyFile(await crictl(), join(directory, 'crictl'));
  await writeImage(join(directory, 'images/box.tar'));
}
