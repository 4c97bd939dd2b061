// The shell of the object that keeps accounts and keys: one line per method that RPC can reach.

import { DurableObject } from 'cloudflare:workers'
import type { Account } from '../auth/account.ts'
import type {
  AuditEntry,
  AuditPage,
  Authority as AuthorityState,
  Snapshot,
} from '../auth/authority.ts'
import { servicesOf } from './shell.ts'
import { openAuthority } from '../services/access.ts'

type NewAccount = Pick<Account, 'name' | 'kind' | 'grants'>

/** Accounts and signing keys: one object for the deployment. */
export class Authority extends DurableObject<Env> {
  #opened: AuthorityState | undefined

  snapshot(): Promise<Snapshot> {
    return this.#open().snapshot()
  }

  add(account: NewAccount, by: string): ReturnType<AuthorityState['add']> {
    return this.#open().add(account, by)
  }

  list(): ReturnType<AuthorityState['list']> {
    return this.#open().list()
  }

  revoke(name: string, by: string): boolean {
    return this.#open().revoke(name, by)
  }

  rotate(name: string, by: string): ReturnType<AuthorityState['rotate']> {
    return this.#open().rotate(name, by)
  }

  setSwitches(...to: Parameters<AuthorityState['setSwitches']>) {
    return this.#open().setSwitches(...to)
  }

  rotateKey(): Promise<void> {
    return this.#open().rotateKey()
  }

  pins(): ReturnType<AuthorityState['pins']> {
    return this.#open().pins()
  }

  pin(...pin: Parameters<AuthorityState['pin']>): ReturnType<AuthorityState['pin']> {
    return this.#open().pin(...pin)
  }

  unpin(image: string, by: string): boolean {
    return this.#open().unpin(image, by)
  }

  restorePins(...pins: Parameters<AuthorityState['restorePins']>): void {
    this.#open().restorePins(...pins)
  }

  purged(scope: string, at?: number): number {
    return this.#open().purged(scope, at)
  }

  dump(): ReturnType<AuthorityState['dump']> {
    return this.#open().dump()
  }

  restore(...dump: Parameters<AuthorityState['restore']>): ReturnType<AuthorityState['restore']> {
    return this.#open().restore(...dump)
  }

  note(...deed: Parameters<AuthorityState['note']>): void {
    this.#open().note(...deed)
  }

  audit(): readonly AuditEntry[] {
    return this.#open().audit()
  }

  auditPage(before: number | undefined, limit: number): AuditPage {
    return this.#open().auditPage(before, limit)
  }

  #open(): AuthorityState {
    this.#opened ??= openAuthority(this.ctx.storage, servicesOf(this.ctx, this.env).seams)
    return this.#opened
  }
}
