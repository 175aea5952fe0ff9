/** A Python wheel that holds libraries; only its C libraries and headers are used. */
export interface Wheel {
  /** as pip names it */
  readonly name: string
  readonly version: string
  /** of the manylinux x86_64 file */
  readonly sha256: string
}

/** The version of TensorFlow that is put under TensorFlow.js. */
export const TENSORFLOW = '2.21.0'

/** What the native backend is made for. */
export type Device = 'cpu' | 'cuda'

const CUDA: readonly (readonly [name: string, version: string, sha256: string])[] = [
  ['cublas', '12.9.1.4', '453611eb21a7c1f2c2156ed9f3a45b691deda0440ec550860290dc901af5b4c2'],
  ['cuda-cupti', '12.9.79', '096bcf334f13e1984ba36685ad4c1d6347db214de03dbb6eebb237b41d9d934f'],
  ['cuda-nvcc', '12.9.86', '5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0'],
  ['cuda-nvrtc', '12.9.86', '210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4'],
  ['cuda-runtime', '12.9.79', '25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3'],
  ['cudnn', '9.10.2.21', '949452be657fa16687d0930933f032835951ef0892b37d2d53824d1a84dc97a8'],
  ['cufft', '11.4.1.4', 'c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28'],
  ['curand', '10.3.10.19', '49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e'],
  ['cusolver', '11.7.5.82', '15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88'],
  ['cusparse', '12.5.10.65', '73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78'],
  ['nccl', '2.28.9', '485776daa8447da5da39681af455aa3b2c2586ddcf4af8772495e7c532c7e5ab'],
  ['nvjitlink', '12.9.86', 'e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9'],
]

/** The wheels of each device; those of CUDA are the ranges of tensorflow's `and-cuda`, pinned. */
export const wheels: Readonly<Record<Device, readonly Wheel[]>> = {
  cpu: [
    {
      name: 'tensorflow-cpu',
      version: TENSORFLOW,
      sha256: '2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c',
    },
  ],
  cuda: [
    {
      name: 'tensorflow',
      version: TENSORFLOW,
      sha256: '9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124',
    },
    ...CUDA.map(([name, version, sha256]) => ({ name: `nvidia-${name}-cu12`, version, sha256 })),
  ],
}

/** The wheels as a requirements file that pip checks by hash. */
export const toRequirements = (list: readonly Wheel[]): string =>
  list.map(({ name, version, sha256 }) => `${name}==${version} --hash=sha256:${sha256}\n`).join('')
