/** What a SKU looks like, wherever one comes in: from a client, from a catalogue, from the system of record. */
export const SKU_LENGTH_MAX = 64;

/** Letters, digits, and . _ : - after the first character; as JSON Schema and regular expressions take it. */
export const SKU_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._:-]*$';
