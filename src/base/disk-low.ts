/** Free space below which a file system is low. */
export type DiskLow =
  | { readonly kind: 'percent'; readonly percent: number }
  | { readonly kind: 'bytes'; readonly bytes: number }
