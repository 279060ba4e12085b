/** What every server without TLS, proxies, metrics and watchers shares: it listens on a free port. */
export const BARE_SERVER = {
  beforeRequest: async () => {},
  answered: () => {},
  listen: { host: '127.0.0.1', port: 0 },
  tls: null,
  trustedProxies: [],
  exposed: false,
  metrics: null,
  metricsToken: null,
  metricsListen: null,
} as const
