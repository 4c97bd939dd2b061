// The shell of the gate to an upstream: one line per method that RPC can reach, and the alarm.

import { DurableObject } from 'cloudflare:workers'
import type { RepositoryName } from '../oci/repository-name.ts'
import { servicesOf, wake } from './shell.ts'
import { durableStorage, sweepStorage } from '../upstream/gate-storage.ts'
import type {
  Authorization,
  Gate,
  GateName,
  GateStatus,
  Purpose,
  Refusal,
  Report,
  Standing,
} from '../upstream/gate.ts'

/** The gate to one upstream. */
export class UpstreamGate extends DurableObject<Env> {
  #opened: Gate | undefined

  authorize(
    name: GateName,
    repository: RepositoryName | undefined,
    purpose: Purpose,
    refusal: Refusal | undefined,
  ): Promise<Authorization> {
    return this.#open(name).authorize(repository, purpose, refusal)
  }

  report(name: GateName, report: Report): Promise<void> {
    return this.#open(name).report(report)
  }

  standing(name: GateName): Promise<Standing> {
    return this.#open(name).standing()
  }

  status(name: GateName): GateStatus {
    return this.#open(name).status()
  }

  override alarm(): Promise<void> {
    return wake(this.ctx, () =>
      sweepStorage(this.ctx.storage, servicesOf(this.ctx, this.env).seams.now()),
    )
  }

  #open(name: GateName): Gate {
    const services = servicesOf(this.ctx, this.env)
    this.#opened ??= services.mirror.gate(
      name,
      durableStorage(this.ctx.storage, services.seams.now),
    )
    return this.#opened
  }
}
