/**
 * Accelerators: peaks for dense matrices, memory, power and dated prices. Data: Epoch AI, "Data on machine learning hardware"
 * (epoch.ai/data/machine-learning-hardware, copy of July 2026) and the prices of "The rising costs of training frontier AI models"
 * (arXiv 2405.21015, prices of March 2025), both CC-BY 4.0, where no other source is named.
 */
import { usageError } from "../../lib/errors.ts";
import { nearest } from "../../recipe/spelling.ts";

/** US dollars that somebody asked on this day, or in this month. */
export interface Price {
  value: number;
  date: string;
  by: string;
  url: string;
}

export interface Gpu {
  title: string;
  released: string;
  /** FLOP/s of dense products, without sparsity; `null` where the chip has no such units. */
  peak: { bf16: number; fp8: number | null };
  /** Bytes. */
  memory: number;
  /** Bytes a second. */
  bandwidth: number;
  /** Thermal design power. */
  watts: number;
  /** Of one GPU for an hour, the one that a plan takes first. Empty: none is known. */
  rents: readonly Price[];
  /** Of one GPU; `null`: none is known. */
  purchase: Price | null;
  url: string;
  note?: string;
}

export type PeakType = keyof Gpu["peak"];

const price = (value: number, date: string, by: string, url: string): Price => ({ value, date, by, url });
const snapshot = (page: string): string => `https://web.archive.org/web/${page}`;
const RUNPOD = snapshot("20250303172225/https://www.runpod.io/pricing");
const AWS = snapshot("20250317144823/https://aws.amazon.com/ec2/pricing/on-demand/");
const ORACLE = snapshot("20250317145952/https://www.oracle.com/cloud/compute/gpu/pricing/");
const TPU = snapshot("20250303142536/https://cloud.google.com/tpu/pricing");
const H100_PAGE = "https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet";
const page = (chip: string): string => `https://www.techpowerup.com/gpu-specs/${chip}`;

export const gpus = {
  H800: {
    title: "NVIDIA H800 SXM5",
    released: "2023-03-21",
    // The FP8 rate is the H100's, of which the H800 has the same chip with slower links.
    peak: { bf16: 989e12, fp8: 1979e12 },
    ...{ memory: 80e9, bandwidth: 3.36e12, watts: 700 },
    rents: [
      price(2, "2024-12-27", "DeepSeek's assumption", "https://arxiv.org/abs/2412.19437"),
      price(3.42, "2025-03-03", "CR8DL", snapshot("20250303170410/https://www.cr8dl.ai/cloud-gpu")),
    ],
    purchase: price(33_800, "2025-02-21", "a shop", "https://archive.ph/W5Vuf"),
    url: page("h800-sxm5.c3975"),
  },
  H100: {
    title: "NVIDIA H100 SXM5",
    released: "2022-09-20",
    peak: { bf16: 989.4e12, fp8: 1979e12 },
    ...{ memory: 80e9, bandwidth: 3.35e12, watts: 700 },
    rents: [
      price(2.99, "2025-03-03", "RunPod", RUNPOD),
      price(2.45, "2025-03-03", "Cudo", "https://www.cudocompute.com/products/gpu-cloud"),
      price(12.29, "2025-03-17", "AWS", AWS),
    ],
    purchase: price(
      31_250,
      "2025-03-03",
      "a shop",
      snapshot("20250303200431/https://marketplace.uvation.com/nvidia-h100-tensor-core-gpu-80gb-sxm/"),
    ),
    url: H100_PAGE,
  },
  H200: {
    title: "NVIDIA H200 SXM",
    released: "2024-11-18",
    peak: { bf16: 989.5e12, fp8: 1979e12 },
    ...{ memory: 141e9, bandwidth: 4.8e12, watts: 700 },
    rents: [price(10.6, "2025-03-17", "AWS", AWS)],
    purchase: price(39_083, "2025-01-31", "a shop, in eights", "https://archive.ph/TxlLv"),
    url: "https://nvdam.widen.net/s/nb5zzzsjdf/hpc-datasheet-sc23-h200-datasheet-3002446",
  },
  B200: {
    title: "NVIDIA B200",
    released: "2024-11-15",
    peak: { bf16: 2250e12, fp8: 4500e12 },
    ...{ memory: 180e9, bandwidth: 7.7e12, watts: 1000 },
    rents: [price(6.03, "2026-03", "Spheron's survey", "https://www.spheron.network/blog")],
    purchase: price(
      47_409,
      "2024-12-17",
      "a shop, in eights",
      snapshot("20241217210350/https://www.deltacomputer.com/nvidia-dgx-b200-1440gb.html"),
    ),
    url: "https://www.primeline-solutions.com/media/categories/server/nach-gpu/nvidia-hgx-h200/nvidia-blackwell-b200-datasheet.pdf",
  },
  H20: {
    title: "NVIDIA H20",
    released: "2023-11-09",
    peak: { bf16: 148e12, fp8: null },
    ...{ memory: 96e9, bandwidth: 4e12, watts: 400 },
    rents: [],
    purchase: price(
      12_000,
      "2023-11-09",
      "a distributor",
      "https://www.tomshardware.com/tech-industry/artificial-intelligence/distributor-claims-that-nvidia-has-allegedly-stopped-taking-orders-on-hgx-h20-gpu-processors",
    ),
    url: "https://viperatech.com/shop/nvidia-hgx-h20/",
  },
  "A100-80": {
    title: "NVIDIA A100 SXM4 80 GB",
    released: "2020-11-16",
    peak: { bf16: 312e12, fp8: null },
    ...{ memory: 80e9, bandwidth: 2.039e12, watts: 400 },
    rents: [
      price(1.89, "2025-03-03", "RunPod", RUNPOD),
      price(1.57, "2025-03-03", "Oblivus", snapshot("20250303153131/https://oblivus.com/pricing/")),
      price(4, "2025-03-17", "Oracle", ORACLE),
    ],
    purchase: price(
      17_499,
      "2025-03-04",
      "a shop",
      snapshot(
        "20250304183554/https://signalpulse.com/product/nvidia-a100-80gb-sxm-tensor-core-gpu-accelerator/",
      ),
    ),
    url: page("a100-sxm4-80-gb.c3746"),
  },
  "A100-40": {
    title: "NVIDIA A100 SXM4 40 GB",
    released: "2020-05-14",
    peak: { bf16: 312e12, fp8: null },
    ...{ memory: 40e9, bandwidth: 1.56e12, watts: 400 },
    rents: [
      price(
        1.29,
        "2025-02-28",
        "Lambda",
        snapshot("20241119072257/https://lambdalabs.com/service/gpu-cloud"),
      ),
      price(3.05, "2025-03-17", "Oracle", ORACLE),
    ],
    purchase: price(15_000, "2020-05-14", "at release", page("a100-sxm4-40-gb.c3506")),
    url: page("a100-sxm4-40-gb.c3506"),
  },
  V100: {
    title: "NVIDIA V100 SXM2 32 GB",
    released: "2018-03-27",
    peak: { bf16: 125e12, fp8: null },
    ...{ memory: 32e9, bandwidth: 0.898e12, watts: 300 },
    rents: [
      price(
        2.48,
        "2025-03-03",
        "Google",
        snapshot("20250303150758/https://cloud.google.com/compute/gpus-pricing?hl=ru"),
      ),
    ],
    purchase: price(
      11_458,
      "2018-03-27",
      "a shop",
      "https://www.microway.com/hpc-tech-tips/nvidia-tesla-v100-price-analysis/",
    ),
    url: page("tesla-v100-sxm2-32-gb.c3185"),
    note: "this rate is of FP16: the chip has no BF16",
  },
  MI300X: {
    title: "AMD Instinct MI300X",
    released: "2023-12-06",
    peak: { bf16: 1307.4e12, fp8: null },
    ...{ memory: 192e9, bandwidth: 5.3e12, watts: 750 },
    rents: [],
    purchase: price(
      25_734,
      "2025-02-10",
      "a shop, in eights",
      snapshot(
        "20250210202751/https://www.interpromicro.com/product/39955-amd-instinct-mi300x-192gb-8-oam-ubb",
      ),
    ),
    url: "https://www.amd.com/content/dam/amd/en/documents/instinct-tech-docs/data-sheets/amd-instinct-mi300x-data-sheet.pdf",
  },
  "Ascend-910C": {
    title: "Huawei Ascend 910C",
    released: "2024-10-15",
    peak: { bf16: 800e12, fp8: null },
    ...{ memory: 128e9, bandwidth: 3.2e12, watts: 700 },
    rents: [],
    purchase: null,
    url: "https://arxiv.org/abs/2506.12708",
  },
  "RTX-4090": {
    title: "NVIDIA GeForce RTX 4090",
    released: "2022-09-20",
    peak: { bf16: 165e12, fp8: null },
    ...{ memory: 24e9, bandwidth: 1.008e12, watts: 450 },
    rents: [
      price(0.69, "2025-03-03", "RunPod", RUNPOD),
      price(0.35, "2025-03-03", "vast.ai", snapshot("20250301185658/https://vast.ai/")),
    ],
    purchase: price(1_599, "2022-09-20", "at release", page("geforce-rtx-4090.c3889")),
    url: page("geforce-rtx-4090.c3889"),
    note: "this rate adds in FP32; Epoch AI has 330, in FP16",
  },
  "TPU-v4": {
    title: "Google TPU v4",
    released: "2021-05-20",
    peak: { bf16: 275e12, fp8: null },
    ...{ memory: 32e9, bandwidth: 1.2e12, watts: 340 },
    rents: [price(3.22, "2025-03-03", "Google", TPU)],
    purchase: price(5_176, "2021-05-20", "Epoch AI's estimate", "https://arxiv.org/abs/2405.21015"),
    url: "https://cloud.google.com/tpu/docs/system-architecture-tpu-vm",
  },
  "TPU-v6e": {
    title: "Google TPU v6e Trillium",
    released: "2024-05-14",
    peak: { bf16: 918e12, fp8: null },
    ...{ memory: 32e9, bandwidth: 1.64e12, watts: 380 },
    rents: [price(2.7, "2025-03-03", "Google", TPU)],
    purchase: price(6_518, "2024-05-15", "Epoch AI's estimate", "https://arxiv.org/abs/2405.21015"),
    url: "https://cloud.google.com/tpu/docs/v6e",
  },
} as const satisfies Record<string, Gpu>;

export type GpuName = keyof typeof gpus;

/** The accelerator of this name, however it is written. @throws UserError that names the nearest one */
export function gpuNamed(word: string): Gpu {
  const names = Object.keys(gpus) as GpuName[];
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_ ]/g, "");
  const name = names.find((one) => plain(one) === plain(word));
  if (name !== undefined) return gpus[name];
  const near = nearest(word, names);
  throw usageError(
    `No accelerator is called "${word}".`,
    `${near === null ? "" : `Did you mean ${near}? `}Known: ${names.join(", ")}.`,
  );
}
