import { PickleGlobal } from './pickle.ts'
import type { PickleRules } from './pickle.ts'
import type { Cursor } from './cursor.ts'
import type { Dtype } from './tensor.ts'

/** A run of elements that tensors are views of; its bytes stand elsewhere in the file. */
export class TorchStorage {
  readonly dtype: Dtype
  readonly key: string
  readonly count: number
  constructor(dtype: Dtype, key: string, count: number) {
    this.dtype = dtype
    this.key = key
    this.count = count
  }
}

/** A view of a storage, offset and strides in elements; checked to lie inside it. */
export class TorchView {
  readonly storage: TorchStorage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  constructor(
    storage: TorchStorage,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}

type Fail = Cursor['fail']

const storageTypes: ReadonlyMap<string, Dtype> = new Map([
  ['torch.DoubleStorage', 'float64'],
  ['torch.FloatStorage', 'float32'],
  ['torch.HalfStorage', 'float16'],
  ['torch.BFloat16Storage', 'bfloat16'],
  ['torch.LongStorage', 'int64'],
  ['torch.IntStorage', 'int32'],
  ['torch.ShortStorage', 'int16'],
  ['torch.CharStorage', 'int8'],
  ['torch.ByteStorage', 'uint8'],
  ['torch.BoolStorage', 'bool'],
])

const builders: ReadonlyMap<string, (args: readonly unknown[], fail: Fail) => unknown> = new Map<
  string,
  (args: readonly unknown[], fail: Fail) => unknown
>([
  ['collections.OrderedDict', toDict],
  ['torch._utils._rebuild_tensor', toView],
  ['torch._utils._rebuild_tensor_v2', toView],
  ['torch._utils._rebuild_parameter', toParameter],
  ['torch.Size', args => args[0]],
])

/** Opens the allow list of torch's pickles; `storages` collects what the tensors refer to, by key. */
export function openTorchRules(storages: Map<string, TorchStorage>): PickleRules {
  return {
    global(name, fail) {
      if (!builders.has(name) && !storageTypes.has(name)) {
        throw fail(
          `names the Python global ${name}, which a file of weights has no need of; nothing was run; save a plain state_dict()`,
          { global: name },
        )
      }
      return new PickleGlobal(name)
    },
    reduce(callable, args, fail) {
      const build = builders.get(callable.name)
      if (build === undefined) throw fail(`calls ${callable.name}, which is only a type`)
      return build(args, fail)
    },
    persistent: (id, fail) => toStorage(id, storages, fail),
  }
}

function toStorage(id: unknown, storages: Map<string, TorchStorage>, fail: Fail): TorchStorage {
  const [kind, type, key, , count, view] = Array.isArray(id) ? (id as unknown[]) : []
  const dtype = type instanceof PickleGlobal ? storageTypes.get(type.name) : undefined
  if (kind !== 'storage' || dtype === undefined || typeof key !== 'string' || !isCount(count)) {
    throw fail('a persistent id is no (storage, type, key, device, count)')
  }
  if (view !== undefined && view !== null) throw fail('a storage is a view of another; save again')
  const known = storages.get(key)
  if (known === undefined) {
    const storage = new TorchStorage(dtype, key, count)
    storages.set(key, storage)
    return storage
  }
  if (known.dtype !== dtype || known.count !== count) {
    throw fail(`storage ${key} is once ${known.count} ${known.dtype}, once ${count} ${dtype}`)
  }
  return known
}

function toView(args: readonly unknown[], fail: Fail): TorchView {
  const [storage, offset, shape, strides] = args
  if (!(storage instanceof TorchStorage) || !isCount(offset)) {
    throw fail('a tensor is built from no storage and offset')
  }
  if (!isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) {
    throw fail('a tensor has no shape and strides of equal length')
  }
  const reach = shape.reduce((at, size, d) => at + (size - 1) * strides[d]!, offset)
  if (!shape.includes(0) && reach >= storage.count) {
    throw fail(
      `a tensor [${shape.join(', ')}] reaches element ${reach} of storage ${storage.key}, which has ${storage.count}`,
      { found: reach, wanted: storage.count },
    )
  }
  return new TorchView(storage, offset, shape, strides)
}

function toParameter([view]: readonly unknown[], fail: Fail): TorchView {
  if (!(view instanceof TorchView)) throw fail('a parameter is built from no tensor')
  return view
}

function toDict([pairs]: readonly unknown[], fail: Fail): Map<unknown, unknown> {
  const isPair = (pair: unknown): pair is [unknown, unknown] =>
    Array.isArray(pair) && pair.length === 2 && typeof pair[0] !== 'object'
  if (pairs === undefined) return new Map()
  if (!Array.isArray(pairs) || !pairs.every(isPair)) throw fail('an OrderedDict has no pairs')
  return new Map(pairs)
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0

const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount)
