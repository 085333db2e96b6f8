/**
 * Hourly rents by device: the prices that we found, each with its source and the date it was true.
 * A device that is not here has no price. Names match as a whole, never in part: "H100" inside an unknown
 * longer name would give a newer card its older sibling's price.
 */

export interface PriceRow {
  device: string;
  /** What drivers call the device. */
  aliases: string[];
  /** Rent per device and hour in US dollars, a range where sources differ. */
  dollarsPerHour: { low: number; high: number };
  /** Year and month of the price. */
  date: string;
  source: string;
  url: string;
  /** Board power in watts, by the maker's data sheet. */
  watts: number;
}

const trainingCosts = {
  source: "Epoch AI, training-cost-trends (arXiv 2405.21015)",
  url: "https://github.com/epoch-research/training-cost-trends",
};
const mercatus = {
  source: "Mercatus AI, cloud GPU pricing",
  url: "https://mercatus-ai.com/blog/cloud-gpu-pricing",
};

export const priceTable: readonly PriceRow[] = [
  {
    device: "H800 SXM",
    aliases: ["NVIDIA H800", "NVIDIA H800 80GB HBM3"],
    dollarsPerHour: { low: 2, high: 2 },
    date: "2024-12",
    source: "assumed by DeepSeek for V3 (arXiv 2412.19437, table 1) and for R1",
    url: "https://arxiv.org/abs/2412.19437",
    watts: 700,
  },
  {
    device: "H100 SXM",
    aliases: ["NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM5 80GB"],
    dollarsPerHour: { low: 2, high: 5 },
    date: "2026-05",
    ...mercatus,
    watts: 700,
  },
  {
    device: "H200 SXM",
    aliases: ["NVIDIA H200", "NVIDIA H200 141GB HBM3e"],
    dollarsPerHour: { low: 2.5, high: 7 },
    date: "2026-05",
    ...mercatus,
    watts: 700,
  },
  {
    device: "A100 SXM 80GB",
    aliases: ["NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"],
    dollarsPerHour: { low: 1.5, high: 4 },
    date: "2025-03",
    ...trainingCosts,
    watts: 400,
  },
];
