import tseslint from 'typescript-eslint';

// Pure folders may not reach for time, chance or I/O: the simulator runs them under its own.
const pure = [
  'store/consensus/**',
  'store/ledger/**',
  'store/journal/**',
  'node/orders/**',
  'node/workflow/**',
];

const ambient = [
  {
    selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
    message: 'Take time as a value or from the injected Clock.',
  },
  {
    selector: "NewExpression[callee.name='Date'][arguments.length=0]",
    message: 'Take time as a value or from the injected Clock.',
  },
  {
    selector: "CallExpression[callee.object.name='Math'][callee.property.name='random']",
    message: 'Use the injected Random.',
  },
  {
    selector: 'CallExpression[callee.name=/^(setTimeout|setInterval|setImmediate)$/]',
    message: 'Use the injected Clock.',
  },
];

export default tseslint.config(
  {
    ignores: [
      'node_modules/**',
      '.freehold/**',
      'guest-functions/*/assembly/**',
      'guest-functions/sdk/**',
      'dist/**',
    ],
  },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      'no-console': 'error',
    },
  },
  { files: pure, rules: { 'no-restricted-syntax': ['error', ...ambient] } },
  { files: ['test/**', 'bench/**', 'node/cli/**', 'guest-functions/*.ts'], rules: { 'no-console': 'off' } },
  { files: ['**/*.mjs'], ...tseslint.configs.disableTypeChecked },
);
