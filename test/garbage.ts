/** What a broken, old or hostile peer may send. */
export const GARBAGE: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from("garbage"),
  Buffer.from("T"),
  Buffer.from("J{"),
  Buffer.from("T99999999999:x,"),
  Buffer.from("T-1:x,"),
  Buffer.from(`T${"9:".repeat(2000)}`),
  Buffer.from("T4:type,0:,}"),
  Buffer.from("T0:}"),
  Buffer.from("0:}"),
  Buffer.from("0:]"),
  Buffer.from("3:5:a,}"),
  Buffer.from('J{"items":[{}]}'),
  Buffer.from("T24:2:id,1:1,4:from,1:x,3:seq,1:0#}"),
  // A request whose fields are all of the wrong kind.
  Buffer.from("T54:4:from,0:]2:id,0:}3:seq,1:x,7:credits,4:true!7:headers,1:h,}"),
  // A question with a method nobody knows, and one that lacks all it needs.
  Buffer.from("40:2:id,1:1,6:method,8:nonsense,4:args,0:}}"),
  Buffer.from("38:2:id,1:1,6:method,6:accept,4:args,0:}}"),
  Buffer.from("16:5:items,4:0:}0:]]}"),
  Buffer.from("B3:abc,"),
  Buffer.from("B0:]"),
  Buffer.alloc(100_000, 0xff),
  Buffer.from(`T${"l".repeat(70)}`),
  // Nested deeper than anyone may.
  nested(500),
];

function nested(depth: number): Buffer {
  let text = "";
  for (let i = 0; i < depth; i += 1) text = `${text.length}:${text}]`;
  return Buffer.from(`T${text}`);
}
