// CPU time and resident memory of another process, from /proc; elsewhere than on Linux nothing is known.

import { readFile, readdir } from 'node:fs/promises'

/** Clock ticks per second: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS = 100
const EVERY = 100

/** What a process used while it was watched. */
export interface Usage {
  /** Seconds of CPU, of all its threads. */
  readonly cpu: number
  /** Resident bytes at the start, and at the most. */
  readonly resident: number
  readonly peak: number
}

interface Sample {
  readonly cpu: number
  readonly resident: number
}

/** The children of a process. */
export async function childrenOf(parent: number): Promise<readonly number[]> {
  const pids = (await readdir('/proc').catch(() => [])).map(Number).filter(Number.isInteger)
  const stats = await Promise.all(pids.map(async (pid) => ({ pid, fields: await statOf(pid) })))
  // proc(5): the fourth field is the parent; the first two are cut off here.
  return stats.filter(({ fields }) => Number(fields?.[1]) === parent).map(({ pid }) => pid)
}

/** Seconds of CPU that a process has used so far; `undefined` where nothing is known. */
export async function cpuOf(pid: number | undefined): Promise<number | undefined> {
  return (await sample(pid))?.cpu
}

/** Does work while a process is watched. */
export async function watch<Value>(
  pid: number | undefined,
  work: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly usage: Usage | undefined }> {
  const first = await sample(pid)
  let peak = first?.resident ?? 0
  const look = async (): Promise<void> => {
    peak = Math.max(peak, (await sample(pid))?.resident ?? 0)
  }
  const timer = setInterval(() => void look(), EVERY)
  try {
    const value = await work()
    await look()
    const last = await sample(pid)
    if (first === undefined || last === undefined) return { value, usage: undefined }
    return { value, usage: { cpu: last.cpu - first.cpu, resident: first.resident, peak } }
  } finally {
    clearInterval(timer)
  }
}

async function sample(pid: number | undefined): Promise<Sample | undefined> {
  if (pid === undefined) return undefined
  const fields = await statOf(pid)
  if (fields === undefined) return undefined
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
  // utime and stime are fields 14 and 15 of proc(5).
  return { cpu: (Number(fields[11]) + Number(fields[12])) / TICKS, resident }
}

async function statOf(pid: number): Promise<readonly string[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The name in parentheses may hold anything.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
}
