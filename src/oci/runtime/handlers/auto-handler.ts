/**
 * The default handler `auto`: crun where nothing that works with runc on this node would stop working, else runc.
 * Pure: the same programs on the same machine give the same choice.
 */
import { FEATURE } from './features.ts';
import type { AutoChoice, Handler, ProbedHandler, ProbeResult } from './handlers.ts';
import { knownFlaws } from './known-flaws.ts';

/** What this node asks of its default handler. */
export interface AutoNeeds {
  readonly cgroupVersion: 1 | 2;
  /** Cgroups are made by systemd. */
  readonly systemd: boolean;
  /** CRIU is configured. */
  readonly checkpoints: boolean;
  /** Containers may be restored from checkpoints. */
  readonly restores: boolean;
}

/** `crun`: undefined if it is neither configured nor found. */
export function chooseHandler(
  crun: ProbedHandler | undefined,
  runc: ProbedHandler,
  needs: AutoNeeds,
): AutoChoice {
  const objections = crun === undefined ? ['not found'] : objectionsTo(crun, runc, needs);
  if (crun === undefined || objections.length > 0)
    return { name: runc.handler.name, text: `auto chose runc; not crun: ${objections.join('; ')}` };
  const over = runc.result.ready
    ? `${versionOf(crun.result)} has no known flaw and every feature of runc's`
    : runc.result.reason;
  return { name: crun.handler.name, text: `auto chose crun; not runc: ${over}` };
}

/** All of them at once, so that who wants crun need not remove one to learn of the next. */
function objectionsTo(crun: ProbedHandler, runc: ProbedHandler, needs: AutoNeeds): readonly string[] {
  const { handler, result } = crun;
  if (!result.ready) return [result.reason];
  // the flaws of another program, or of an unknown version, are not in the table
  if (handler.kind !== 'oci' || !/^crun version \d+\.\d+/u.test(result.version))
    return [`${handler.path} is not a released crun`];
  return [
    ...(result.standIn === undefined
      ? []
      : ['it refuses mixed cgroups, and would run without the controllers of v2']),
    ...knownFlaws(result.version),
    ...lacking(result, runc.result, needs),
    ...differing(handler, runc.handler),
    ...(needs.restores ? ['containers are restored (runtime.restore), which is tested with runc only'] : []),
  ];
}

function lacking(crun: ProbeResult, runc: ProbeResult, needs: AutoNeeds): readonly string[] {
  if (crun.features.length === 0) return ['it does not list its features'];
  const ofNode = [
    needs.cgroupVersion === 2 ? FEATURE.cgroupV2 : FEATURE.cgroupV1,
    ...(needs.systemd ? [FEATURE.cgroupSystemd] : []),
  ];
  const isOptional = (feature: string): boolean =>
    feature.startsWith('cgroup ') || (feature === FEATURE.checkpoints && !needs.checkpoints);
  const wanted = [...ofNode, ...runc.features.filter((feature) => !isOptional(feature))];
  const lacks = wanted.filter((feature) => !crun.features.includes(feature));
  return lacks.length === 0 ? [] : [`it lacks ${lacks.join(', ')}`];
}

/** What an administrator has allowed or bound for runc's pods holds for all that name no handler. */
function differing(crun: Handler, runc: Handler): readonly string[] {
  const settings = ({
    options = [],
    noPivot = false,
    allowedAnnotations = [],
    defaultAnnotations = {},
    privilegedWithoutHostDevices = false,
    seccompProfile = '',
  }: Handler): Readonly<Record<string, unknown>> => ({
    options,
    no_pivot: noPivot,
    allowed_annotations: allowedAnnotations.toSorted(),
    default_annotations: Object.entries(defaultAnnotations)
      .map((pair) => pair.join('='))
      .toSorted(),
    privileged_without_host_devices: privilegedWithoutHostDevices,
    seccomp_profile: seccompProfile,
  });
  const [ours, theirs] = [settings(crun), settings(runc)];
  const names = Object.keys(ours).filter((key) => JSON.stringify(ours[key]) !== JSON.stringify(theirs[key]));
  return names.length === 0 ? [] : [`its settings differ from those of runc: ${names.join(', ')}`];
}

/** Such as `crun 1.28`. */
function versionOf({ version }: ProbeResult): string {
  return version.replace(' version ', ' ');
}
