/** Native ESM: run through bin/test, which sets NODE_OPTIONS=--experimental-vm-modules. */
export default {
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.broker/', '<rootDir>/.run/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        module: { type: 'es6' },
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript' },
          experimental: { keepImportAttributes: true },
        },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^warren$': '<rootDir>/src/index.ts',
    '^warren/idempotency$': '<rootDir>/src/idempotency.ts',
    '^warren/testing$': '<rootDir>/src/testing.ts',
  },
  testEnvironment: 'node',
  // A deadline, which only a failing test reaches: a busy machine is no failure.
  testTimeout: 90_000,
  testSequencer: '<rootDir>/test/support/longest-first.js',
  // For the two cores of CI: the tests mostly wait, for delays and for brokers to start. Four leave a sixth of the
  // processors unused, with five they are full.
  maxWorkers: 5,
};
