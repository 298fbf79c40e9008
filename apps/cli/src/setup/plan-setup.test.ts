import { expect, it } from 'vitest';
import { planSetup, type SetupFacts } from './plan-setup.js';

const DONE: SetupFacts = {
  hasAccount: true,
  hasRunDirectory: true,
  idleUnits: [],
  hasKernel: true,
  newOperators: [],
};
const commands = (facts: Partial<SetupFacts>, kernel = true) =>
  planSetup({ ...DONE, ...facts }, { kernel }).map(({ command }) =>
    command === 'add-kernel' ? command : command.join(' '),
  );

it('does everything on a new host, the account before what belongs to it', () => {
  const facts = {
    hasAccount: false,
    hasRunDirectory: false,
    idleUnits: ['mvm-hostd.socket', 'mvm-hostd.service', 'mvm-agentd.service'],
    hasKernel: false,
    newOperators: ['alice'],
  };
  expect(commands(facts)).toEqual([
    'systemd-sysusers mvm.conf',
    'systemd-tmpfiles --create mvm.conf',
    'systemctl enable --now mvm-hostd.socket mvm-hostd.service mvm-agentd.service',
    'usermod --append --groups mvm alice',
    'add-kernel',
  ]);
});

it('does nothing on a host that is set up', () => {
  expect(commands({})).toEqual([]);
});

it('does only what is missing', () => {
  expect(commands({ idleUnits: ['mvm-agentd.service'] })).toEqual([
    'systemctl enable --now mvm-agentd.service',
  ]);
  expect(commands({ hasKernel: false }, false)).toEqual([]);
});
