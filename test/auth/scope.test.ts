// What is read out of `scope`: exactly what was asked, once, and nothing that only looks like it.

import { describe, expect, it } from 'vitest'

import { parseScopes } from '../../src/auth/scope.ts'

/** The scopes as text, `<type> <name> <actions>`. */
function parsed(...values: readonly string[]): readonly string[] {
  return parseScopes(values).map(({ type, name, actions }) => `${type} ${name} ${actions.join()}`)
}

const SECRET = 'a'.repeat(52)

describe('parseScopes', () => {
  it.each([
    { name: 'one', values: ['repository:a/b:pull'], want: ['repository a/b pull'] },
    {
      name: 'several actions',
      values: ['repository:a/b:push,pull,delete'],
      want: ['repository a/b pull,push,delete'],
    },
    { name: 'all actions', values: ['repository:a:*'], want: ['repository a *'] },
    {
      name: 'repeated parameters',
      values: ['repository:a:pull', 'repository:b:push'],
      want: ['repository a pull', 'repository b push'],
    },
    {
      name: 'separated by spaces',
      values: ['repository:a:pull repository:b:pull,push'],
      want: ['repository a pull', 'repository b pull,push'],
    },
    {
      name: 'union of duplicates (crane, skopeo)',
      values: ['repository:a:delete repository:a:push,pull', 'repository:a:pull'],
      want: ['repository a delete,pull,push'],
    },
    {
      name: 'the wildcard beside others (skopeo)',
      values: ['repository:a:* repository:a:pull'],
      want: ['repository a *,pull'],
    },
    {
      name: '063: the deprecated class says nothing',
      values: ['repository(plugin):a/b:pull repository:a/b:push'],
      want: ['repository a/b pull,push'],
    },
    {
      name: '063: a host with a port',
      values: ['repository:127.0.0.1:5000/a/b:pull'],
      want: ['repository 127.0.0.1:5000/a/b pull'],
    },
    {
      name: 'the catalogue',
      values: ['registry:catalog:*'],
      want: ['registry catalog *'],
    },
    {
      name: 'a capability, for the endpoint to drop',
      values: [`repository:t/${SECRET}/docker.io/library/nginx:pull`],
      want: [`repository t/${SECRET}/docker.io/library/nginx pull`],
    },
    {
      name: 'unknown actions beside known ones',
      values: ['repository:a:pull,own,PUSH,,admin,read,create'],
      want: ['repository a pull'],
    },
    {
      name: '063: a, a/b, ab and A are four',
      values: ['repository:a:pull repository:a/b:push repository:ab:pull repository:A:pull'],
      want: ['repository a pull', 'repository a/b push', 'repository ab pull', 'repository A pull'],
    },
    {
      name: '063: a space in a name ends the scope',
      values: ['repository:a b:pull'],
      want: [],
    },
    {
      name: '063: a space among actions ends them',
      values: ['repository:a:pull, push'],
      want: ['repository a pull'],
    },
    { name: 'only spaces, and nothing', values: ['   ', ''], want: [] },
    { name: 'none', values: [], want: [] },
  ])('$name', ({ values, want }) => {
    expect(parsed(...values)).toEqual(want)
  })

  it.each([
    { name: 'no colon', text: 'repository' },
    { name: 'one colon', text: 'repository:a' },
    { name: 'no name', text: 'repository::pull' },
    { name: 'no action', text: 'repository:a:' },
    { name: 'only unknown actions', text: 'repository:a:own' },
    { name: 'no type', text: ':a:pull' },
    { name: 'an unknown type', text: 'artifact-repository:a:pull' },
    { name: 'a type in upper case', text: 'Repository:a:pull' },
    { name: 'a class that is none', text: 'repository(plug-in):a:pull' },
    { name: 'an open class', text: 'repository(plugin:a:pull' },
    { name: 'an empty class', text: 'repository():a:pull' },
    { name: 'something after the class', text: 'repository(plugin)x:a:pull' },
    { name: 'a comma in the name', text: 'repository:a,b:pull' },
    { name: 'a quote in the name', text: 'repository:a"b:pull' },
    { name: 'a backslash', text: 'repository:a\\b:pull' },
    { name: 'a line break', text: 'repository:a\r\nb:pull' },
    { name: 'a line break after the action', text: 'repository:a:pull\n' },
    { name: 'NUL', text: 'repository:a\0:pull' },
    { name: 'a pattern for a name', text: 'repository:*:pull' },
    { name: 'braces', text: 'repository:{"a"}:pull' },
    { name: 'not ASCII', text: 'repository:ä:pull' },
    { name: 'a name that is too long', text: `repository:${'a'.repeat(513)}:pull` },
  ])('063: leaves out $name', ({ text }) => {
    expect(parsed(text, 'repository:b:pull')).toEqual(['repository b pull'])
  })

  it('063: takes a hundred resources of a thousand, and still unites actions with those', () => {
    const many = Array.from({ length: 1000 }, (_, index) => `repository:a${index}:pull`)
    const scopes = parseScopes([...many, 'repository:a0:push', 'repository:a999:push'])
    expect(scopes).toHaveLength(100)
    expect(scopes[0]).toEqual({ type: 'repository', name: 'a0', actions: ['pull', 'push'] })
    expect(scopes.at(-1)?.name).toBe('a99')
  })

  it('does not take a name for a member of every object', () => {
    expect(parsed('repository:__proto__:pull', 'repository:constructor:pull')).toEqual([
      'repository __proto__ pull',
      'repository constructor pull',
    ])
  })
})
