// Where a host leads, judged by how it is written.

import { describe, expect, it } from 'vitest'

import { clientOf, isLoopbackHost, isPrivateHost } from '../../src/oci/host.ts'

const ROWS = [
  { host: 'localhost', want: 'loopback' },
  { host: 'LOCALHOST.', want: 'loopback' },
  { host: 'registry.localhost', want: 'loopback' },
  { host: '127.0.0.1', want: 'loopback' },
  { host: '127.255.255.254', want: 'loopback' },
  { host: '0x7f.1', want: 'loopback' },
  { host: '2130706433', want: 'loopback' },
  { host: '0177.0.0.1', want: 'loopback' },
  { host: '[::1]', want: 'loopback' },
  { host: '::1', want: 'loopback' },
  { host: '[0:0:0:0:0:0:0:1]', want: 'loopback' },
  { host: '0.0.0.0', want: 'private' },
  { host: '10.0.0.1', want: 'private' },
  { host: '10.255.255.255', want: 'private' },
  { host: '0xa000001', want: 'private' },
  { host: '100.64.0.1', want: 'private' },
  { host: '100.127.255.255', want: 'private' },
  { host: '169.254.169.254', want: 'private' },
  { host: '2852039166', want: 'private' },
  { host: '172.16.0.1', want: 'private' },
  { host: '172.31.255.255', want: 'private' },
  { host: '192.0.0.192', want: 'private' },
  { host: '192.168.1.1', want: 'private' },
  { host: '198.18.0.1', want: 'private' },
  { host: '224.0.0.1', want: 'private' },
  { host: '255.255.255.255', want: 'private' },
  { host: '[::]', want: 'private' },
  { host: '[fc00::1]', want: 'private' },
  { host: '[fdff::1]', want: 'private' },
  { host: '[fe80::1]', want: 'private' },
  { host: '[febf::1]', want: 'private' },
  { host: '[ff02::1]', want: 'private' },
  { host: '[::ffff:127.0.0.1]', want: 'private' },
  { host: '[::ffff:8.8.8.8]', want: 'private' },
  { host: '[::127.0.0.1]', want: 'private' },
  { host: '[64:ff9b::a00:1]', want: 'private' },
  { host: '[64:ff9b:1::1]', want: 'private' },
  { host: '[2002:a00:1::]', want: 'private' },
  { host: '[2001::1]', want: 'private' },
  { host: '[2001:0:a00:1::1]', want: 'private' },
  { host: 'metadata.google.internal', want: 'private' },
  { host: 'Metadata.Google.Internal.', want: 'private' },
  { host: 'printer.local', want: 'private' },
  { host: 'nas.home.arpa', want: 'private' },
  { host: 'registry', want: 'private' },
  { host: '', want: 'private' },
  { host: '10.0.0.1.256', want: 'private' },
  { host: '[::1', want: 'private' },
  { host: '100.63.255.255', want: 'public' },
  { host: '100.128.0.1', want: 'public' },
  { host: '172.15.0.1', want: 'public' },
  { host: '172.32.0.1', want: 'public' },
  { host: '9.255.255.255', want: 'public' },
  { host: '11.0.0.1', want: 'public' },
  { host: '126.0.0.1', want: 'public' },
  { host: '128.0.0.1', want: 'public' },
  { host: '169.253.0.1', want: 'public' },
  { host: '223.255.255.255', want: 'public' },
  { host: '[2001:4860:4860::8888]', want: 'public' },
  { host: '[2606:4700::1111]', want: 'public' },
  { host: 'registry-1.docker.io', want: 'public' },
  { host: '10.0.0.1.example.com', want: 'public' },
  { host: 'localhost.example.com', want: 'public' },
  { host: 'notlocalhost.example', want: 'public' },
  { host: 'internal.example.com', want: 'public' },
] as const

describe('where a host leads', () => {
  it.each(ROWS)('$host is $want', ({ host, want }) => {
    expect({ loopback: isLoopbackHost(host), private: isPrivateHost(host) }).toEqual({
      loopback: want === 'loopback',
      private: want === 'private',
    })
  })
})

describe('the client that an address stands for', () => {
  it.each([
    { address: '203.0.113.7', want: '203.0.113.7' },
    { address: '2001:db8:1:2:3:4:5:6', want: '2001:db8:1:2::/64' },
    { address: '2001:db8:1:2:ffff::1', want: '2001:db8:1:2::/64' },
    { address: '2001:DB8::1', want: '2001:db8:0:0::/64' },
    { address: '::1', want: '0:0:0:0::/64' },
    { address: 'no address at all', want: 'no address at all' },
  ])('$address is $want', ({ address, want }) => {
    expect(clientOf(address)).toBe(want)
  })
})
