// Issuers that sign tokens for anybody who has an account there: their names in the configuration, and which
// conditions keep strangers out.

import type { OIDCIssuer } from './oidc.ts'

/** What a configuration may say in the place of an issuer's URL. */
export function presetIssuer(name: string): string | undefined {
  return PRESETS.find((preset) => preset.name === name)?.issuer
}

/**
 * Why an entry would let strangers in, for whoever reads the configuration: GitHub and GitLab sign tokens
 * for anybody, so some claim must say whose repository it is.
 */
export function findOpenIssuer({ issuer, claims }: OIDCIssuer): string | undefined {
  const preset = PRESETS.find((each) => each.issuer === issuer)
  if (preset === undefined) return undefined
  const isClosed = Object.entries(preset.owners).some(([claim, owner]) => {
    const patterns = [claims[claim] ?? []].flat()
    return patterns.length > 0 && patterns.every((pattern) => owner.test(pattern))
  })
  const names = Object.keys(preset.owners).join(', ')
  return isClosed
    ? undefined
    : `claims that name an owner (one of ${names}, with no "*" before its end), since ${issuer} signs tokens for anybody`
}

interface Preset {
  readonly name: string
  readonly issuer: string
  /** By claim, the patterns that only tokens of one owner can match. */
  readonly owners: Readonly<Record<string, RegExp>>
}

const EXACT = /^[^*]+$/
const PRESETS: readonly Preset[] = [
  {
    // Claims: repository (acme/app), repository_owner (acme), ref (refs/heads/main), environment.
    name: 'github',
    issuer: 'https://token.actions.githubusercontent.com',
    owners: {
      repository: /^[^*/]+\/./,
      repository_owner: EXACT,
      repository_id: EXACT,
      repository_owner_id: EXACT,
      sub: /^repo:[^*/]+\/./,
    },
  },
  {
    // Claims: project_path (acme/app), namespace_path (acme), ref (main), ref_protected (true).
    name: 'gitlab',
    issuer: 'https://gitlab.com',
    owners: {
      project_path: /^[^*/]+\/./,
      namespace_path: /^[^*/]+(\/.*)?$/,
      project_id: EXACT,
      namespace_id: EXACT,
      sub: /^project_path:[^*/]+\/./,
    },
  },
]
