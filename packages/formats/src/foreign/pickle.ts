import { openCursor, textOf } from './cursor.ts'
import type { Cursor } from './cursor.ts'

/** A Python global named by a pickle. It is a name only: nothing is imported or called. */
export class PickleGlobal {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** What the rebuilding of a pickle's objects is left to; each throws for what it does not allow. */
export interface PickleRules {
  global(name: string, fail: Cursor['fail']): PickleGlobal
  reduce(callable: PickleGlobal, args: readonly unknown[], fail: Cursor['fail']): unknown
  persistent(id: unknown, fail: Cursor['fail']): unknown
}

const MARK = Symbol('mark')

/** Opcodes by byte, pickletools' names; every other opcode is refused. */
const opcodes = {
  0x80: 'PROTO',
  0x8a: 'LONG1',
  0x95: 'FRAME',
  0x94: 'MEMOIZE',
  0x93: 'STACK_GLOBAL',
  0x8c: 'SHORT_BINUNICODE',
  0x28: 'MARK',
  0x29: 'EMPTY_TUPLE',
  0x2e: 'STOP',
  0x42: 'BINBYTES',
  0x43: 'SHORT_BINBYTES',
  0x47: 'BINFLOAT',
  0x4a: 'BININT',
  0x4b: 'BININT1',
  0x4d: 'BININT2',
  0x4e: 'NONE',
  0x51: 'BINPERSID',
  0x52: 'REDUCE',
  0x58: 'BINUNICODE',
  0x5d: 'EMPTY_LIST',
  0x61: 'APPEND',
  0x62: 'BUILD',
  0x63: 'GLOBAL',
  0x65: 'APPENDS',
  0x68: 'BINGET',
  0x6a: 'LONG_BINGET',
  0x71: 'BINPUT',
  0x72: 'LONG_BINPUT',
  0x73: 'SETITEM',
  0x74: 'TUPLE',
  0x75: 'SETITEMS',
  0x7d: 'EMPTY_DICT',
  0x85: 'TUPLE1',
  0x86: 'TUPLE2',
  0x87: 'TUPLE3',
  0x88: 'NEWTRUE',
  0x89: 'NEWFALSE',
} as const

type Opcode = (typeof opcodes)[keyof typeof opcodes]

/**
 * Reads one pickle (protocols 2 to 4) as data: dict to Map, list and tuple to array, int to number
 * or bigint. Python's opcodes that build other objects are refused, so nothing can be executed.
 *
 * @returns the object and the place after its STOP
 * @throws FormatError naming the file, the byte and what was found there
 */
export function readPickle(
  name: string,
  bytes: Uint8Array,
  rules: PickleRules,
  start = 0,
): { value: unknown; end: number } {
  const cursor = openCursor(name, bytes, start)
  const machine = openMachine(cursor, rules)
  for (;;) {
    const at = cursor.at
    const code = cursor.byte()
    const opcode = (opcodes as Readonly<Record<number, Opcode>>)[code]
    if (opcode === undefined) {
      cursor.at = at
      throw cursor.fail(
        `pickle opcode 0x${code.toString(16).padStart(2, '0')} is not among those of a state dict`,
        { opcode: code },
      )
    }
    if (opcode === 'STOP') return { value: machine.pop(), end: cursor.at }
    machine.rules[opcode]()
  }
}

function openMachine(cursor: Cursor, rules: PickleRules) {
  const stack: unknown[] = []
  const memo = new Map<number, unknown>()
  const fail = cursor.fail
  const push = (value: unknown) => void stack.push(value)
  const top = (): unknown => {
    if (stack.length === 0) throw fail('the pickle takes from an empty stack')
    return stack.at(-1)
  }
  const pop = (): unknown => {
    const value = top()
    if (value === MARK) throw fail('the pickle takes a mark for a value')
    stack.pop()
    return value
  }
  const popToMark = (): unknown[] => {
    const mark = stack.lastIndexOf(MARK)
    if (mark < 0) throw fail('the pickle has no mark to go back to')
    const items = stack.splice(mark + 1)
    stack.pop()
    return items
  }
  const popTuple = (count: number): unknown[] =>
    Array.from({ length: count }, () => pop()).reverse()
  const recall = (index: number) => {
    if (!memo.has(index)) throw fail(`the pickle recalls object ${index}, which it never kept`)
    push(memo.get(index))
  }
  const set = (pairs: readonly unknown[]) => {
    const target = top()
    if (!(target instanceof Map)) throw fail('the pickle sets keys of what is no dict')
    if (pairs.length % 2 !== 0) throw fail('the pickle sets a key without a value')
    for (let i = 0; i < pairs.length; i += 2) {
      const key = pairs[i]
      if (!['string', 'number', 'bigint', 'boolean'].includes(typeof key)) {
        throw fail('a dict key is neither text nor number')
      }
      target.set(key, pairs[i + 1])
    }
  }
  const append = (items: readonly unknown[]) => {
    const target = top()
    if (!Array.isArray(target)) throw fail('the pickle appends to what is no list')
    for (const item of items) target.push(item)
  }
  const text = (count: number) => textOf(cursor, cursor.take(count))
  const pushGlobal = (module: unknown, item: unknown) =>
    push(rules.global(`${String(module)}.${String(item)}`, fail))
  const steps: Record<Exclude<Opcode, 'STOP'>, () => void> = {
    PROTO() {
      const protocol = cursor.byte()
      if (protocol < 2 || protocol > 4) {
        throw fail(`pickle protocol ${protocol}, expected 2 to 4; save with the default protocol`)
      }
    },
    FRAME: () => void cursor.count64(),
    MARK: () => push(MARK),
    NONE: () => push(null),
    NEWTRUE: () => push(true),
    NEWFALSE: () => push(false),
    BININT: () => push(cursor.int32()),
    BININT1: () => push(cursor.byte()),
    BININT2: () => push(cursor.uint16()),
    BINFLOAT: () => push(cursor.float64BigEndian()),
    LONG1: () => push(integerOf(cursor.take(cursor.byte()))),
    BINUNICODE: () => push(text(cursor.uint32())),
    SHORT_BINUNICODE: () => push(text(cursor.byte())),
    BINBYTES: () => push(cursor.take(cursor.uint32())),
    SHORT_BINBYTES: () => push(cursor.take(cursor.byte())),
    EMPTY_DICT: () => push(new Map<unknown, unknown>()),
    EMPTY_LIST: () => push([]),
    EMPTY_TUPLE: () => push([]),
    TUPLE: () => push(popToMark()),
    TUPLE1: () => push(popTuple(1)),
    TUPLE2: () => push(popTuple(2)),
    TUPLE3: () => push(popTuple(3)),
    APPEND: () => append([pop()]),
    APPENDS: () => append(popToMark()),
    SETITEM: () => set(popTuple(2)),
    SETITEMS: () => set(popToMark()),
    BINPUT: () => void memo.set(cursor.byte(), top()),
    LONG_BINPUT: () => void memo.set(cursor.uint32(), top()),
    MEMOIZE: () => void memo.set(memo.size, top()),
    BINGET: () => recall(cursor.byte()),
    LONG_BINGET: () => recall(cursor.uint32()),
    GLOBAL() {
      const module = textOf(cursor, cursor.until(0x0a))
      pushGlobal(module, textOf(cursor, cursor.until(0x0a)))
    },
    STACK_GLOBAL() {
      const [module, item] = popTuple(2)
      pushGlobal(module, item)
    },
    REDUCE() {
      const [callable, args] = popTuple(2)
      if (!(callable instanceof PickleGlobal) || !Array.isArray(args)) {
        throw fail('the pickle calls what is no allowed global')
      }
      push(rules.reduce(callable, args, fail))
    },
    BUILD() {
      pop()
      // An OrderedDict's attributes (`_metadata`: module versions); they carry no tensors.
      if (!(top() instanceof Map)) throw fail('the pickle gives attributes to what is no dict')
    },
    BINPERSID: () => push(rules.persistent(pop(), fail)),
  }
  return { rules: steps, pop }
}

/** A little-endian two's complement integer; a number where a number is exact. */
function integerOf(bytes: Uint8Array): number | bigint {
  let value = 0n
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!)
  const signed = BigInt.asIntN(bytes.length * 8, value)
  return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed
}
