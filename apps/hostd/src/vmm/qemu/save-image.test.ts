import { expect, it } from 'vitest';
import { asMigrationStream, parseFirmwareSize, parseHostAddress } from './save-image.js';

it('gives the state of devices the machine’s name, and an end', () => {
  const state = Buffer.from('QEVM\0\0\0\x03\x04devices\0', 'latin1');
  expect(asMigrationStream(state)?.toString('latin1')).toBe(
    'QEVM\0\0\0\x03\x07\0\0\0\x07microvm\x04devices\0\x06\0\0\0\0',
  );
});

it.each(['', 'QEVM', 'QEVM\0\0\0\x02\x04', 'QEVM\0\0\0\x03', 'QEVM\0\0\0\x03\x07\0', 'MVMSEAL1'])(
  'does not take a state of another format: %j',
  (text) => {
    expect(asMigrationStream(Buffer.from(text, 'latin1'))).toBeNull();
  },
);

it('reads where QEMU has the memory, and believes nothing else', () => {
  const answer = 'Host virtual address for 0x0 (microvm.ram) is 0x7f54a0000000\r\n';
  expect(parseHostAddress('tn3i5', 0, answer)).toBe(0x7f54a0000000);
  for (const other of ['', 'unknown command: gpa2hva', answer.replace('0x0 ', '0x1 '), `${answer}1`])
    expect(() => parseHostAddress('tn3i5', 0, other)).toThrow(
      expect.objectContaining({ reason: 'vmm.save_failed' }),
    );
});

it('reads how large the firmware is', () => {
  const line = (total: string): string =>
    `              Block Name    PSize              Offset               Used              Total
             microvm.ram    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000
                 pc.bios    4 KiB  0x0000000004000000 0x0000000000010000 0x${total}
      /rom@etc/acpi/rsdp    4 KiB  0x0000000004280000 0x0000000000001000 0x0000000000001000\r\n`;
  expect(parseFirmwareSize('tn3i5', line('0000000000010000'))).toBe(65_536);
  expect(parseFirmwareSize('tn3i5', line('0000000000020000'))).toBe(131_072);
  for (const other of [line('0000000000010001'), line('0000000004000000'), ''])
    expect(() => parseFirmwareSize('tn3i5', other)).toThrow(
      expect.objectContaining({ reason: 'vmm.save_failed' }),
    );
});
