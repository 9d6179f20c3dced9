import { describe, expect, it } from 'vitest';
import { tableText, totals } from '../../e2e/kubelet/report.ts';
import { stagingReplacements } from '../../support/tools/kubernetes.ts';

describe('the build of the kubelet', () => {
  it('replaces each staging module by its published version, and nothing else', () => {
    const goMod = [
      'module k8s.io/kubernetes',
      'require (',
      '\tk8s.io/api v0.0.0',
      '\tk8s.io/klog/v2 v2.140.0',
      ')',
      'replace (',
      '\tk8s.io/api => ./staging/src/k8s.io/api',
      '\tk8s.io/cri-api => ./staging/src/k8s.io/cri-api',
      '\texample.com/x => example.com/y v1.0.0',
      ')',
    ].join('\n');
    expect(stagingReplacements(goMod)).toBe(
      '\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n\tk8s.io/cri-api => k8s.io/cri-api v0.36.3\n)\n',
    );
  });

  it('says so when it finds none', () => {
    expect(() => stagingReplacements('module k8s.io/kubernetes\n')).toThrow(/replaces no staging module/u);
  });
});

describe('the table of a kubelet run', () => {
  const rows = [
    { title: 'a | b', state: 'passed', seconds: 1.23, note: '' },
    { title: 'c', state: 'failed', seconds: 4, note: `line\n<${'x'.repeat(400)}>` },
  ] as const;

  it('counts', () => {
    expect(totals(rows)).toBe('1 passed, 1 failed, 0 skipped');
  });

  it('has one line of markdown for each scenario, whatever the note contains', () => {
    const lines = tableText(rows).split('\n');
    expect(lines).toHaveLength(6);
    expect(lines[4]).toBe('| a \\| b | passed | 1.2 |  |');
    expect(lines[5]).toMatch(/^\| c \| failed \| 4\.0 \| line &lt;x+ \|$/u);
  });
});
