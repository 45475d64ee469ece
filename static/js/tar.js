// A tar archive, made of files where they are: nothing is read before it is sent.
const BLOCK = 512;
const encoder = new TextEncoder();

function field(header, offset, length, text) {
  header.set(encoder.encode(text).subarray(0, length), offset);
}

function octal(header, offset, length, number) {
  field(header, offset, length, number.toString(8).padStart(length - 1, "0") + "\0");
}

// The first day that a zip can hold in whatever zone.
const EARLIEST = 315619200;

function tarHeader(name, size, type, time = 0) {
  const header = new Uint8Array(BLOCK);
  field(header, 0, 100, name);
  octal(header, 100, 8, 0o644);
  octal(header, 108, 8, 0);
  octal(header, 116, 8, 0);
  octal(header, 124, 12, size);
  octal(header, 136, 12, Math.max(Math.floor(time), EARLIEST));
  header.fill(32, 148, 156);
  field(header, 156, 1, type);
  field(header, 257, 8, "ustar\u000000");
  const sum = header.reduce((total, byte) => total + byte, 0);
  field(header, 148, 8, `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}

const padding = (size) => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);

// GNU's long name entry goes before each file: any length, any letters.
export function tarEntry(path, file) {
  const name = encoder.encode(`${path}\0`);
  return [
    tarHeader("././@LongLink", name.length, "L"),
    name,
    padding(name.length),
    tarHeader("long", file.size, "0", file.lastModified / 1000),
    file,
    padding(file.size),
  ];
}

export const tar = (parts) => new File([...parts, new Uint8Array(2 * BLOCK)], "folder.tar");
