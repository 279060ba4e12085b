import { z } from 'zod'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

/** One region: this service. */
export const DescribeRegions = defineOperation(
  {
    action: 'DescribeRegions',
    summary: { en: 'Lists the regions.', zh: '查询地域。' },
    access: 'read',
    resource: 'none',
    origin: 'vendor',
    parameters: z.object({
      AcceptLanguage: text('en-US or zh-CN.', 'en-US 或 zh-CN。').optional(),
    }),
    response: z.object({
      Regions: z.object({
        RDSRegion: z.array(
          z.object({
            RegionId: z.string(),
            ZoneId: z.string(),
            LocalName: z.string(),
            RegionEndpoint: z.string(),
          }),
        ),
      }),
    }),
    errors: {},
  },
  async (_request, { region }: Pick<OperationParts, 'region'>) => ({
    Regions: {
      RDSRegion: [
        { RegionId: region, ZoneId: `${region}-a`, LocalName: region, RegionEndpoint: '' },
      ],
    },
  }),
)
