// The command lines of everything by which a registry is operated, as a table: arguments, and what is to be done.

import { afterEach, describe, expect, it, vi } from 'vitest'

import { collectCommand } from '../../cli/collect-arguments.ts'
import { imagesCommand } from '../../cli/images-arguments.ts'
import { importCommand } from '../../cli/import-arguments.ts'
import { jobsCommand } from '../../cli/jobs-arguments.ts'
import { pinCommand } from '../../cli/pin-arguments.ts'
import { parseList } from '../../cli/prefetch.ts'
import { prefetchCommand } from '../../cli/prefetch-arguments.ts'
import type { Enlist } from '../../cli/program.ts'
import { runProgram } from '../../cli/program.ts'
import { purgeCommand } from '../../cli/purge-arguments.ts'
import { refreshCommand } from '../../cli/refresh-arguments.ts'
import { switchesCommand } from '../../cli/switches-arguments.ts'

/** What came of a command line: what was printed, what was complained of, and with what the command was run. */
async function program(line: string | readonly string[]) {
  const ran: unknown[] = []
  const told: { printed: string; complaint: unknown } = { printed: '', complaint: undefined }
  const note = async (args: unknown): Promise<number> => {
    ran.push(args)
    return 0
  }
  const commands: readonly Enlist[] = [
    imagesCommand(note),
    importCommand(note),
    prefetchCommand(note),
    refreshCommand(note),
    purgeCommand(note),
    pinCommand(note),
    collectCommand(note),
    jobsCommand(note),
    switchesCommand(note),
  ]
  const args = typeof line === 'string' ? line.split(' ') : line
  const code = await runProgram(args, commands, {
    print: (text) => (told.printed += text),
    complain: (what) => (told.complaint = what),
  })
  return { code, ...told, ran }
}

afterEach(() => vi.unstubAllEnvs())

const DIGEST = `sha256:${'a'.repeat(64)}`
const HERE = { url: new URL('http://127.0.0.1:5050'), persistTo: '.entrepot', isJSON: false }
const JOB = { ...HERE, isDetached: false }
const ELSEWHERE = 'https://registry.example.com'
const image = (name: string, reference?: object) => ({ name, reference })

describe('understood', () => {
  it.each([
    {
      line: 'images',
      want: { ...HERE, action: { what: 'list', search: undefined, kind: undefined } },
    },
    {
      line: 'images nginx --kind mirrored --json',
      want: {
        ...HERE,
        isJSON: true,
        action: { what: 'list', search: 'nginx', kind: 'mirrored' },
      },
    },
    {
      line: `images list show --url ${ELSEWHERE}`,
      want: {
        ...HERE,
        url: new URL(ELSEWHERE),
        persistTo: undefined,
        action: { what: 'list', search: 'show', kind: undefined },
      },
    },
    {
      line: 'images show localhost:5000/team/app',
      want: { ...HERE, action: { what: 'show', image: image('localhost:5000/team/app') } },
    },
    {
      line: 'images show docker.io/library/nginx:1.29',
      want: {
        ...HERE,
        action: {
          what: 'show',
          image: image('docker.io/library/nginx', { kind: 'tag', tag: '1.29' }),
        },
      },
    },
    {
      line: `images show hosted/app:1@${DIGEST}`,
      want: {
        ...HERE,
        action: { what: 'show', image: image('hosted/app', { kind: 'digest', digest: DIGEST }) },
      },
    },
    {
      line: 'import docker.io/library/nginx:1.29 hosted/web:2',
      want: {
        ...JOB,
        order: {
          kind: 'import',
          images: [{ from: 'docker.io/library/nginx:1.29', to: 'hosted/web:2' }],
        },
      },
    },
    {
      line: 'import docker.io/library/nginx:1.29 hosted/web --platforms linux/amd64,linux/arm/v7 --detach',
      want: {
        ...JOB,
        isDetached: true,
        order: {
          kind: 'import',
          images: [{ from: 'docker.io/library/nginx:1.29', to: 'hosted/web:1.29' }],
          platforms: ['linux/amd64', 'linux/arm/v7'],
        },
      },
    },
    {
      line: 'import --from https://old.example --repositories team/**,base --repositories x/* --to hosted/team',
      want: {
        ...JOB,
        order: {
          kind: 'import',
          from: 'https://old.example/',
          repositories: ['team/**', 'base', 'x/*'],
          to: 'hosted/team',
        },
      },
    },
    {
      line: `import docker.io/library/nginx@${DIGEST} hosted/web`,
      want: {
        ...JOB,
        order: {
          kind: 'import',
          images: [{ from: `docker.io/library/nginx@${DIGEST}`, to: 'hosted/web' }],
        },
      },
    },
    {
      line: 'import --from http://127.0.0.1:5001/sub/ --repositories ** --realm https://login.example/ --to hosted',
      want: {
        ...JOB,
        order: {
          kind: 'import',
          from: 'http://127.0.0.1:5001/sub/',
          repositories: ['**'],
          to: 'hosted',
          realms: ['https://login.example'],
        },
      },
    },
    {
      line: 'prefetch docker.io/library/nginx:1.29 quay.io/org/app:2 --platforms linux/amd64 --platforms linux/arm64',
      want: {
        ...JOB,
        images: ['docker.io/library/nginx:1.29', 'quay.io/org/app:2'],
        file: undefined,
        platforms: ['linux/amd64', 'linux/arm64'],
      },
    },
    { line: 'prefetch --file list.txt', want: { ...JOB, images: [], file: 'list.txt' } },
    { line: 'prefetch --file -', want: { ...JOB, images: [], file: '-' } },
    {
      line: 'refresh docker.io/library/nginx:latest --persist-to x',
      want: { ...HERE, persistTo: 'x', image: 'docker.io/library/nginx:latest' },
    },
    {
      line: 'refresh docker.io/library/nginx',
      want: { ...HERE, image: 'docker.io/library/nginx' },
    },
    ...[
      'docker.io',
      'localhost:5000',
      'docker.io/library/nginx',
      'docker.io/library/nginx:1.29',
      `docker.io/library/nginx@${DIGEST}`,
    ].map((target) => ({
      line: `purge ${target}`,
      want: { ...JOB, order: { kind: 'purge', target } },
    })),
    ...['pin', 'pin list'].map((line) => ({ line, want: { ...HERE, action: { what: 'list' } } })),
    {
      line: 'pin add docker.io/library/nginx:1.29 --platforms linux/amd64',
      want: {
        ...HERE,
        action: {
          what: 'add',
          image: 'docker.io/library/nginx:1.29',
          platforms: ['linux/amd64'],
        },
      },
    },
    {
      line: 'pin remove docker.io/library/nginx:1.29 --json',
      want: {
        ...HERE,
        isJSON: true,
        action: { what: 'remove', image: 'docker.io/library/nginx:1.29' },
      },
    },
    { line: 'collect', want: { ...JOB, order: { kind: 'collect' } } },
    {
      line: 'collect --dry-run --target 500GiB --low 80%',
      want: {
        ...JOB,
        order: { kind: 'collect', dryRun: true, target: '500GiB', low: '80%' },
      },
    },
    { line: 'jobs', want: { ...HERE, action: { what: 'list', isAll: false } } },
    { line: 'jobs list --all', want: { ...HERE, action: { what: 'list', isAll: true } } },
    ...['show', 'follow', 'cancel'].map((what) => ({
      line: `jobs ${what} import-m1-2`,
      want: { ...HERE, action: { what, id: 'import-m1-2' } },
    })),
    { line: 'switches', want: { ...HERE, action: { what: 'show' } } },
    {
      line: 'switches set readOnly on',
      want: { ...HERE, action: { what: 'set', name: 'readOnly', isOn: true } },
    },
    {
      line: 'switches set alwaysStale off',
      want: { ...HERE, action: { what: 'set', name: 'alwaysStale', isOn: false } },
    },
    {
      line: 'switches pause docker.io',
      want: { ...HERE, action: { what: 'pause', host: 'docker.io' } },
    },
    {
      line: 'switches resume docker.io',
      want: { ...HERE, action: { what: 'resume', host: 'docker.io' } },
    },
  ])('$line', async ({ line, want }) => {
    expect(await program(line)).toEqual({ code: 0, printed: '', complaint: undefined, ran: [want] })
  })

  it('the login to a source, which stands in the environment and in no order without one', async () => {
    vi.stubEnv('ENTREPOT_SOURCE', 'robot$team:pass:word')
    const whole = 'import --from https://old.example --repositories ** --to hosted'
    expect((await program(whole)).ran).toMatchObject([
      { order: { credential: { username: 'robot$team', password: 'pass:word' } } },
    ])
    const [one] = (await program('import docker.io/library/nginx:1 hosted/a')).ran
    expect(one).not.toHaveProperty('order.credential')
  })
})

describe('not understood', () => {
  const whole = 'expected an image by its whole name, e.g. docker.io/library/nginx:1.29, found'
  const exact = 'expected an image with a tag or a digest, e.g. docker.io/library/nginx:1.29, found'
  const form = 'import: expected two images, or all of --from, --repositories and --to'

  it.each([
    { line: 'images a b', want: /^too many arguments for 'list'\. Expected 1 argument but got 2/ },
    { line: 'images --kind both', want: '--kind: expected mirrored or hosted, found "both"' },
    { line: 'images show', want: `missing required argument 'image' (--help says more)` },
    { line: 'images show NGINX:1', want: `show: ${whole} "NGINX:1"` },
    { line: 'images show nginx:', want: `show: ${whole} "nginx:"` },
    { line: 'images show a/../b', want: `show: ${whole} "a/../b"` },
    { line: 'images show a@sha256:1', want: `show: ${whole} "a@sha256:1"` },
    { line: 'images show https://a.example/b', want: `show: ${whole} "https://a.example/b"` },
    { line: 'images --url http://a.example', want: /^--url: expected https, since a secret / },
    { line: 'import', want: form },
    { line: 'import docker.io/library/nginx:1', want: /^import: expected two images, from where/ },
    {
      line: 'import docker.io/library/nginx hosted/a:1',
      want: /^import: expected an image with a /,
    },
    { line: 'import docker.io/library/nginx:1 Hosted', want: `import: ${whole} "Hosted"` },
    {
      line: 'import docker.io/library/nginx:1 hosted/a --to b',
      want: 'import: expected two images, or --from, --repositories and --to',
    },
    { line: 'import --from https://old.example --to hosted', want: form },
    { line: 'import --repositories ** --to hosted', want: form },
    {
      line: 'import --from https://a:canary@old.example --repositories ** --to hosted',
      want: /^--from: expected the https address of a registry, .*, found "…@old\.example"$/,
    },
    {
      line: 'import --from http://old.example --repositories ** --to hosted',
      want: /^--from: expected the https address of a registry, .* found "http:\/\/old\.example"$/,
    },
    {
      line: 'import --from https://old.example --repositories ** --to hosted --realm login.example',
      want: '--realm: expected e.g. https://login.example, found "login.example"',
    },
    {
      line: 'import docker.io/library/nginx:1 hosted/a --realm https://login.example',
      want: 'import: expected two images, or --from, --repositories and --to',
    },
    {
      line: 'import --from https://old.example --repositories Team/** --to hosted',
      want: /^--repositories: expected repository patterns .*, found "Team\/\*\*"$/,
    },
    {
      line: 'import --from https://old.example --repositories a,, --to hosted',
      want: /^--repositories: .*, found ""$/,
    },
    {
      line: 'import --from https://old.example --repositories ** --to hosted/',
      want: /^--to: expected the beginning of a repository's name, .*, found "hosted\/"$/,
    },
    {
      line: 'import docker.io/library/nginx:1 hosted/a --platforms amd64',
      want: '--platforms: expected e.g. linux/amd64,linux/arm/v7, found "amd64"',
    },
    { line: 'prefetch', want: 'prefetch: expected images, or --file with a list of them' },
    {
      line: 'prefetch docker.io/library/nginx',
      want: `prefetch: ${exact} "docker.io/library/nginx"`,
    },
    {
      line: 'prefetch --file --detach',
      want: '--file: expected a value, found the option "--detach"',
    },
    {
      line: `refresh docker.io/library/nginx@${DIGEST}`,
      want: /^refresh: expected a tag or a repository, since what has a digest never changes, /,
    },
    { line: 'purge', want: `missing required argument 'target' (--help says more)` },
    { line: 'purge https://docker.io', want: `purge: ${whole} "https://docker.io"` },
    {
      line: 'purge Docker',
      want: 'purge: expected an image, a repository or the host of an upstream, found "Docker"',
    },
    { line: 'pin add docker.io/library/nginx', want: `add: ${exact} "docker.io/library/nginx"` },
    { line: 'pin ad docker.io/a:1', want: `unknown command 'ad' (Did you mean add?)` },
    {
      line: 'collect --target much',
      want: '--target: expected a size ("500GiB", "1.5TiB", "200GB" or a number of bytes) above 0, found "much"',
    },
    { line: 'collect --target 0', want: /^--target: expected a size .* found "0"$/ },
    {
      line: 'collect --low 101%',
      want: '--low: expected a size that is not above the target, or a share of it ("80%"), found "101%"',
    },
    { line: 'collect --target 1GiB --low 2GiB', want: /^--low: .* found "2GiB"$/ },
    { line: 'jobs show ../accounts', want: /^show: expected the id of a job, .*"\.\.\/accounts"$/ },
    { line: 'jobs lst', want: `unknown command 'lst' (Did you mean list?)` },
    { line: `jobs --url ${ELSEWHERE} lst`, want: `unknown command 'lst' (Did you mean list?)` },
    { line: 'jobs import-1', want: `unknown command 'import-1' (--help says more)` },
    { line: 'jobs list import-1', want: /^too many arguments for 'list'/ },
    { line: 'jobs --all import-1', want: /^too many arguments for 'list'/ },
    { line: 'switches foo', want: `unknown command 'foo' (--help says more)` },
    { line: 'switches pasue docker.io', want: `unknown command 'pasue' (Did you mean pause?)` },
    {
      line: 'switches set readonly on',
      want: 'set: expected one of readOnly, noFills, noRedirect, alwaysStale, found "readonly"',
    },
    { line: 'switches set readOnly true', want: 'set: expected on or off, found "true"' },
    {
      line: 'switches set readOnly',
      want: `missing required argument 'on|off' (--help says more)`,
    },
  ])('$line', async ({ line, want }) => {
    const { complaint, ...others } = await program(line)
    expect(others).toEqual({ code: 2, printed: '', ran: [] })
    expect(complaint).toEqual(typeof want === 'string' ? want : expect.stringMatching(want))
    expect(complaint).not.toContain('canary')
  })

  it.each([
    { given: 'canary-secret', found: 'no ":" in it' },
    { given: ':canary-secret', found: 'no name in it' },
  ])('a login to a source with $found', async ({ given, found }) => {
    vi.stubEnv('ENTREPOT_SOURCE', given)
    const line = 'import --from https://old.example --repositories ** --to hosted'
    expect(await program(line)).toEqual({
      code: 2,
      printed: '',
      complaint: `expected ENTREPOT_SOURCE=<name>:<password>, found ${found}`,
      ran: [],
    })
  })
})

describe('help', () => {
  it.each([
    { line: 'images --help', names: ['list', 'show', '--url', 'ENTREPOT_SECRET'] },
    { line: 'import --help', names: ['--from', '--repositories', '--to', 'ENTREPOT_SOURCE'] },
    { line: 'import --help', names: ['--platforms', '--detach', '--json', 'Ctrl-C'] },
    { line: 'prefetch --help', names: ['--file', '--platforms', '--detach', '[image...]'] },
    { line: 'refresh --help', names: ['<image>', '--url', '--json'] },
    { line: 'purge --help', names: ['<target>', 'docker.io/library/nginx:1.29', '--detach'] },
    { line: 'pin --help', names: ['add', 'list', 'remove'] },
    { line: 'pin add --help', names: ['--platforms', '--url'] },
    { line: 'collect --help', names: ['--dry-run', '--target', '--low', 'STORAGE_TARGET'] },
    { line: 'jobs --help', names: ['list', 'show', 'follow', 'cancel'] },
    { line: 'jobs help list', names: ['entrepot jobs list', '--all'] },
    { line: 'switches --help', names: ['set', 'pause', 'resume'] },
    { line: 'switches set --help', names: ['readOnly', 'alwaysStale', 'on|off'] },
  ])('$line', async ({ line, names }) => {
    const { printed, ...others } = await program(line)
    expect(others).toEqual({ code: 0, complaint: undefined, ran: [] })
    for (const name of names) expect(printed).toContain(name)
  })
})

describe('a list of images', () => {
  it('has one on a line, and comments', () => {
    const text = '# ours\ndocker.io/library/nginx:1.29\r\n\n  quay.io/org/app:2  # pinned\n'
    expect(parseList('list.txt', text)).toEqual([
      'docker.io/library/nginx:1.29',
      'quay.io/org/app:2',
    ])
  })

  it('is refused with the line in which there is none', () => {
    expect(() => parseList('list.txt', 'a.example/b:1\nnginx latest')).toThrow(
      /^list\.txt, line 2: expected an image by its whole name, .* found "nginx latest"$/,
    )
  })
})
