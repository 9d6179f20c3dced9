/**
 * Text of the rules that let pods of the default network reach addresses outside of it. Names derive from the bridge,
 * so that two instances on one machine have rules of their own. Pure.
 */

/** One subnet of the default network. */
export interface MasqueradeRule {
  readonly bridge: string;
  readonly family: 4 | 6;
  /** With its prefix length. */
  readonly subnet: string;
}

/** Multicast leaves the node as it is, as with the bridge plugin's own rules. */
const MULTICAST = { 4: '224.0.0.0/4', 6: 'ff00::/8' } as const;

/** Name of the nftables table; the prefix keeps it apart from keywords, since nft can't quote a name. */
function masqueradeTable(bridge: string): string {
  return `troupe-masquerade-${bridge}`;
}

/** Name of the iptables chain: at most 27 of the 28 characters that iptables allows. */
export function masqueradeChain(bridge: string): string {
  return `TROUPE-MASQ-${bridge}`;
}

/** The comment by which a rule is recognized: each version of nft and iptables prints addresses in its own way. */
function markOf({ subnet }: MasqueradeRule): string {
  return `troupe: ${subnet}`;
}

/** The table's words in commands of nft. */
export function nftTable({ bridge, family }: Pick<MasqueradeRule, 'bridge' | 'family'>): readonly string[] {
  return ['table', family === 4 ? 'ip' : 'ip6', masqueradeTable(bridge)];
}

/** Input of `nft -f` that deletes the table, whether it exists or not. */
export function nftRemoval(rule: Pick<MasqueradeRule, 'bridge' | 'family'>): string {
  const table = nftTable(rule).join(' ');
  return `add ${table}\ndelete ${table}\n`;
}

/** Input of `nft -f` that replaces the table in one transaction. 100 is `srcnat`, a word that nft 0.9.0 lacks. */
export function nftRules(rule: MasqueradeRule): string {
  const { family, subnet } = rule;
  const ip = family === 4 ? 'ip' : 'ip6';
  const others = [subnet, MULTICAST[family]].map((not) => `${ip} daddr != ${not}`).join(' ');
  return [
    `${nftRemoval(rule)}${nftTable(rule).join(' ')} {`,
    ' chain postrouting {',
    '  type nat hook postrouting priority 100; policy accept;',
    `  ${ip} saddr ${subnet} ${others} masquerade comment "${markOf(rule)}"`,
    ' }',
    '}',
    '',
  ].join('\n');
}

/** Whether the output of `nft list table` has the rule. */
export function nftHas(rule: MasqueradeRule, listed: string): boolean {
  return listed.includes(`masquerade comment "${markOf(rule)}"`) && listed.includes('hook postrouting');
}

/** The jump to the chain, without `-A POSTROUTING`: the same for each subnet, so that a new one replaces it. */
export function iptablesJump(bridge: string): readonly string[] {
  return ['-m', 'comment', '--comment', 'troupe', '-j', masqueradeChain(bridge)];
}

/** Input of `iptables-restore --noflush`: naming an existing chain empties it, so this replaces in one transaction. */
export function iptablesRules(rule: MasqueradeRule, hasJump: boolean): string {
  const { bridge, family, subnet } = rule;
  const chain = masqueradeChain(bridge);
  return [
    '*nat',
    `:${chain} - [0:0]`,
    ...[subnet, MULTICAST[family]].map((destination) => `-A ${chain} -d ${destination} -j RETURN`),
    `-A ${chain} -s ${subnet} -m comment --comment "${markOf(rule)}" -j MASQUERADE`,
    ...(hasJump ? [] : [`-A POSTROUTING ${iptablesJump(bridge).join(' ')}`]),
    'COMMIT',
    '',
  ].join('\n');
}

/** Whether the output of `iptables -S <chain>` has the rule. */
export function iptablesHas(rule: MasqueradeRule, listed: string): boolean {
  return listed.includes(`--comment "${markOf(rule)}" -j MASQUERADE`);
}
