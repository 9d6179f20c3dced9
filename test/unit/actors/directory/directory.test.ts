import { describe, expect, it } from 'vitest';
import { Directory } from '../../../../src/actors/directory/directory.ts';
import { containerId, containerSpec, containerView, recordingRef, sandboxId } from '../fixtures.ts';

const put = (directory: Directory, digit: string, part = {}): void =>
  directory.put(containerView('running', { id: containerId(digit), ...part }), recordingRef().ref);

describe('Directory', () => {
  it('finds by unique prefix of the id', () => {
    const directory = new Directory();
    put(directory, 'c');
    put(directory, 'd');
    expect(directory.findContainer('c')).toMatchObject({ found: 'one', view: { id: containerId('c') } });
    expect(directory.findContainer('e')).toEqual({ found: 'none' });
    expect(directory.findContainer('')).toEqual({ found: 'many' });
  });

  it('finds an unlisted actor only by its whole id', () => {
    const directory = new Directory();
    put(directory, 'c', { listed: false });
    expect(directory.findContainer('cccc')).toEqual({ found: 'none' });
    expect(directory.findContainer(containerId('c'))).toMatchObject({ found: 'one' });
  });

  it('returns the same list until something changes, and a returned list never changes', () => {
    const directory = new Directory();
    put(directory, 'c');
    const before = directory.containers();
    expect(directory.containers()).toBe(before);
    put(directory, 'd');
    expect(before).toHaveLength(1);
    expect(directory.containers()).toHaveLength(2);
  });

  it('finds the containers of a sandbox, and those of a name with any attempt', () => {
    const directory = new Directory();
    const key = { sandboxId: sandboxId('a'), name: 'nginx', attempt: 0 };
    put(directory, 'c', { spec: containerSpec({ key }) });
    put(directory, 'd', { spec: containerSpec({ key: { ...key, attempt: 1 } }) });
    put(directory, 'e', { spec: containerSpec({ key: { ...key, name: 'other' } }) });
    put(directory, 'f', { spec: containerSpec({ key: { ...key, sandboxId: sandboxId('b') } }) });
    expect(directory.containersOf(sandboxId('a')).map((view) => view.id)).toEqual(
      ['c', 'd', 'e'].map((digit) => containerId(digit)),
    );
    expect(directory.containersByName(key).map((view) => view.id)).toEqual(
      ['c', 'd'].map((digit) => containerId(digit)),
    );
  });

  it('notifies listeners of one address and of all; one that unsubscribes during a notification disturbs no other', () => {
    const directory = new Directory();
    const heard: string[] = [];
    const { address } = containerView('running');
    const stop = directory.listen(address, () => {
      heard.push('first');
      stop();
    });
    directory.listen(address, (view, gone) => heard.push(`second ${view.state} ${gone}`));
    directory.listenToAll((view) => heard.push(`all ${view.address === address}`));
    put(directory, 'c');
    put(directory, 'd');
    directory.drop(containerView('gone'));
    expect(heard).toEqual([
      'first',
      'second running false',
      'all true',
      'all false',
      'second gone true',
      'all true',
    ]);
  });
});
